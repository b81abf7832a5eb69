/** What the launcher card writes: the shipped guide, or a short example where the guide was not shipped. */

export interface INotebook {
  cells: object[];
  metadata: object;
  nbformat: number;
  nbformat_minor: number;
}

/** A first network in ten lines: the same that the README shows. */
const EXAMPLE = `from mlkit import nn, optim
from mlkit.data import DataLoader, digits
from mlkit.train import Trainer
from mlkit.widgets import Watch

train = DataLoader(digits(train=True), batch_size=32, shuffle=True)
test = DataLoader(digits(train=False), batch_size=256)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
trainer = Trainer(model, loss=nn.CrossEntropyLoss(), optimizer=optim.AdamW(model.parameters(), 1e-2))
run = trainer.start(train, test, epochs=20)
Watch(run)`;

export function exampleNotebook(): INotebook {
  return {
    cells: [
      { cell_type: 'markdown', id: 'title', metadata: {}, source: '# A first network\n\nRun the cell below: the curves move while the network learns.' },
      { cell_type: 'code', id: 'train', metadata: {}, execution_count: null, outputs: [], source: EXAMPLE },
      { cell_type: 'code', id: 'result', metadata: {}, execution_count: null, outputs: [], source: 'await run' }
    ],
    metadata: { kernelspec: { display_name: 'Python 3', language: 'python', name: 'python3' }, language_info: { name: 'python' } },
    nbformat: 4,
    nbformat_minor: 5
  };
}

/** A notebook beside a model document: it loads the document (and trained weights), shows its code and makes the model. */
export function modelNotebook(file: string, weights = ''): INotebook {
  const notebook = exampleNotebook();
  const [title, first, second] = notebook.cells as Record<string, unknown>[];
  const name = JSON.stringify(file);
  const load = weights
    ? `import mlkit\nfrom mlkit.io.safetensors import load_model\n\nbuilder = mlkit.ModelBuilder(${name})\nmodel = builder.model\nload_model(model, ${JSON.stringify(weights)})\nmodel`
    : `import mlkit\n\nbuilder = mlkit.ModelBuilder(${name})\nmodel = builder.model\nmodel`;
  notebook.cells = [
    { ...title, source: `# ${file.replace(/\.mlmodel\.json$/, '').replace(/[\\`*_<>[\]#]/g, '\\$&')}\n\nThe model that was built from blocks in \`${file.replaceAll('`', "'")}\`.` },
    { ...first, id: 'load', source: load },
    { ...second, id: 'code', source: 'print(builder.code)' }
  ];
  return notebook;
}

/** Is this parsed JSON a notebook that JupyterLab can open? */
export function isNotebook(value: unknown): value is INotebook {
  const notebook = value as Partial<INotebook> | null;
  return typeof notebook === 'object' && notebook !== null && notebook.nbformat === 4 && Array.isArray(notebook.cells);
}

/** `first-network.ipynb`, or the first of `first-network-1.ipynb`, `-2`, ... that is not taken. Nothing is overwritten. */
export function freeName(taken: Iterable<string>, stem = 'first-network', extension = '.ipynb'): string {
  const names = new Set([...taken].map(name => name.toLowerCase())); // macOS folders ignore case
  let name = stem + extension;
  for (let i = 1; names.has(name.toLowerCase()); i++) {
    name = `${stem}-${i}${extension}`;
  }
  return name;
}
