// Brings what the widgets know about graphs (their structure and layout) among our sources: one text, two builds.
// The two packages have their own React and TypeScript, so they are no workspace of one another.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, '..', '..', '..', 'widgets', 'shared');
const target = join(here, '..', 'src', 'shared');

mkdirSync(target, { recursive: true });
const wanted = ['graph', 'layout'];
for (const name of wanted) { // grows by what they import
  const text = readFileSync(join(source, `${name}.ts`), 'utf8').replaceAll(/from "\.\/([\w-]+)"/g, (_, other) => {
    if (!wanted.includes(other)) {
      wanted.push(other);
    }
    return `from "./${other}.js"`;
  });
  const file = join(target, `${name}.ts`);
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) { // an unchanged file keeps its age: what is built stays good
    writeFileSync(file, text);
  }
}
