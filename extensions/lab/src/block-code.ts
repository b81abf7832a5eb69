/** A block of the builder's palette as a line of Python, for a notebook it is dropped into. */

interface IProperty {
  name: string;
  default?: unknown;
  required?: boolean;
}

interface IBlock {
  name: string;
  kind: string;
  in: string[];
  properties: IProperty[];
}

/** A value as Python writes it. */
function python(value: unknown): string {
  if (value === null || value === undefined) {
    return 'None';
  }
  if (typeof value === 'boolean') {
    return value ? 'True' : 'False';
  }
  if (Array.isArray(value)) {
    return `(${value.map(python).join(', ')}${value.length === 1 ? ',' : ''})`;
  }
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** `nn.Linear(in_features=..., out_features=...)`: what must be given and has no usual value is left to be filled in. */
export function blockCode(name: string, palette: unknown): string {
  const groups = (palette as { groups?: { blocks: IBlock[] }[] } | null)?.groups ?? [];
  const block = groups.flatMap(group => group.blocks).find(one => one.name === name);
  if (!block) {
    return '';
  }
  const wanted = block.properties
    .filter(property => property.required)
    .map(property => `${property.name}=${'default' in property ? python(property.default) : '...'}`);
  if (block.kind === 'module') {
    return `nn.${name}(${wanted.join(', ')})`;
  }
  if (block.kind === 'function' && /^[a-z]/.test(name)) {
    return `nn.functional.${name}(${[...block.in, ...wanted].join(', ')})`;
  }
  return '';
}
