// Puts the guide's first notebook beside the built extension, without outputs, so that the launcher card can open a copy
// of it wherever the wheel is installed.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, '..', '..', '..', 'notebooks', 'guide', '01-first-network.ipynb');
const target = join(here, '..', 'labextension', 'static', 'first-network.ipynb');

if (!existsSync(source)) {
  console.log('guide: notebooks/guide/01-first-network.ipynb is not here; the launcher card will open the short example.');
} else {
  const notebook = JSON.parse(readFileSync(source, 'utf8'));
  for (const cell of notebook.cells) {
    if (cell.cell_type === 'code') {
      cell.outputs = [];
      cell.execution_count = null;
    }
  }
  delete notebook.metadata.widgets;
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, JSON.stringify(notebook, null, 1) + '\n');
}
