import assert from 'node:assert/strict';
import { test } from 'node:test';

import { exampleNotebook, freeName, isNotebook, modelNotebook } from './notebook.js';

test('a free name is kept, a taken one is numbered', () => {
  assert.equal(freeName([]), 'first-network.ipynb');
  assert.equal(freeName(['first-network.ipynb']), 'first-network-1.ipynb');
  assert.equal(freeName(['first-network.ipynb', 'First-Network-1.ipynb', 'first-network-3.ipynb']), 'first-network-2.ipynb');
});

test('the example is a notebook with an unrun training cell', () => {
  const notebook = exampleNotebook();
  assert.ok(isNotebook(notebook));
  assert.ok(JSON.stringify(notebook).includes('Trainer('));
  assert.ok(JSON.stringify(notebook).includes('"execution_count":null'));
});

test('an error page or an old format is no notebook', () => {
  for (const value of [null, 'text', 3, {}, { nbformat: 3, worksheets: [] }, { nbformat: 4 }]) {
    assert.ok(!isNotebook(value), JSON.stringify(value));
  }
});

test('the notebook of a model loads its file, whatever its name', () => {
  const cells = modelNotebook('my "net".mlmodel.json').cells as { source: string }[];
  assert.ok(cells[1].source.includes('mlkit.ModelBuilder("my \\"net\\".mlmodel.json")'));
  assert.ok(cells[0].source.startsWith('# my "net"\n'));
});

test('the notebook of a trained model loads its weights too', () => {
  const [, load] = modelNotebook('net.mlmodel.json', 'net-weights.safetensors').cells as { source: string }[];
  assert.ok(load.source.includes('load_model(model, "net-weights.safetensors")'));
  assert.ok(load.source.includes('mlkit.ModelBuilder("net.mlmodel.json")'));
});
