import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bytes, lineIn, literal, progress, seconds, shape, value } from './words.js';

test('numbers are short and have units', () => {
  assert.deepEqual([0, 999, 1500, 48_000_000, 123_456_789_000].map(bytes), ['0 B', '999 B', '1.5 kB', '48.0 MB', '123 GB']);
  assert.equal(bytes(null), '');
  assert.deepEqual([[], [3], [2, 3, 4]].map(shape), ['scalar', '3', '2×3×4']);
  assert.deepEqual([0, 0.000012, 0.123456, 123456, null].map(value), ['0', '1.20e-5', '0.1235', '1.23e+5', 'not a number']);
  assert.deepEqual([0.4, 59, 61, 3700].map(seconds), ['0 s', '59 s', '1 min 1 s', '1 h 1 min']);
});

test('progress is known only when the end is', () => {
  assert.equal(progress({ step: 5, steps: 20 }), 0.25);
  assert.equal(progress({ step: 5, steps: null }), null);
  assert.equal(progress({ step: 50, steps: 20 }), 1);
});

test('a name becomes one Python string, whatever it holds', () => {
  assert.equal(literal('a"]; import os'), '"a\\"]; import os"');
  assert.equal(literal('a\nb\\'), '"a\\nb\\\\"');
});

test('the line that made a tensor is found where it stands now', () => {
  const cell = 'w = mlkit.ones(2)\n\ny = w * 3\n';
  assert.equal(lineIn(cell, 3, 'y = w * 3'), 2);
  assert.equal(lineIn(`# a new first line\n${cell}`, 3, 'y = w * 3'), 3);
  assert.equal(lineIn('something else', 3, 'y = w * 3'), -1);
  assert.equal(lineIn('', 3, ''), -1);
});
