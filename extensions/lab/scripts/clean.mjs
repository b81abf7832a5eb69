// Removes what a build made. A script and no `npm run`, because the npm of PyPI's Node cannot be called by name.
import { rmSync } from 'node:fs';

for (const name of ['lib', 'labextension', 'tsconfig.tsbuildinfo']) {
  rmSync(new URL(`../${name}`, import.meta.url), { recursive: true, force: true });
}
