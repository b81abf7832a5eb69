import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blockCode } from './block-code.js';

const palette = {
  groups: [
    {
      name: 'Linear',
      blocks: [
        { name: 'Linear', kind: 'module', in: ['input'], properties: [{ name: 'in_features', required: true }, { name: 'bias', default: true }] },
        { name: 'softmax', kind: 'function', in: ['input'], properties: [{ name: 'dim', default: -1, required: true }] },
        { name: 'Pad', kind: 'module', in: ['input'], properties: [{ name: 'padding', default: [1], required: true }] },
        { name: 'Add', kind: 'operator', in: ['a', 'b'], properties: [] }
      ]
    }
  ]
};

test('a block becomes the line that makes it', () => {
  assert.equal(blockCode('Linear', palette), 'nn.Linear(in_features=...)');
  assert.equal(blockCode('softmax', palette), 'nn.functional.softmax(input, dim=-1)');
  assert.equal(blockCode('Pad', palette), 'nn.Pad(padding=(1,))');
});

test('what is no line of its own is left alone', () => {
  assert.equal(blockCode('Add', palette), '');
  assert.equal(blockCode('gone', palette), '');
  assert.equal(blockCode('Linear', null), '');
});
