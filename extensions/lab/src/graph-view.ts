/**
 * A recorded graph (`application/vnd.mlkit.graph+json`) as a picture whose modules open and close. It needs no kernel:
 * the document holds shapes and names, and nothing in it is ever run.
 */
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

import { Graph, GraphDocument, shapeText } from './shared/graph.js';
import { curve, layOut, Placed } from './shared/layout.js';

export const MIME = 'application/vnd.mlkit.graph+json';

/** A graph of so few operations is laid open at once. */
const SMALL = 24;

/** What a layout can be waited for. */
const MOST = 500;

/** Larger than it is drawn at first; the rest is scrolled to. */
const PAD = 12;

const SVG = 'http://www.w3.org/2000/svg';

function make<K extends keyof SVGElementTagNameMap>(
  kind: K,
  attributes: Record<string, string | number>,
  text?: string
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, String(value));
  }
  if (text !== undefined) {
    element.textContent = text;
  }
  return element;
}

/** Why this is no graph that we can draw; empty when it is one. */
export function objection(data: unknown): string {
  const graph = data as Partial<GraphDocument> | null;
  if (typeof graph !== 'object' || graph === null || graph.format !== 'mlkit.graph') {
    return 'This is not a graph of mlkit: "format" should be "mlkit.graph".';
  }
  if (graph.version !== 1) {
    return `This graph has version ${String(graph.version)} of the format; this mlkit draws version 1. Bring mlkit up to date.`;
  }
  for (const key of ['inputs', 'outputs', 'modules', 'values', 'nodes'] as const) {
    if (!Array.isArray(graph[key])) {
      return `This graph cannot be drawn: "${key}" should be a list.`;
    }
  }
  const known = new Set((graph.values ?? []).map(value => value?.id));
  for (const node of graph.nodes ?? []) {
    if (!node || !Array.isArray(node.inputs) || !Array.isArray(node.outputs) || typeof node.module !== 'string') {
      return `This graph cannot be drawn: the operation ${String(node?.id)} has no inputs, outputs or module.`;
    }
    const lost = [...node.inputs, ...node.outputs].find(id => !known.has(id));
    if (lost !== undefined) {
      return `This graph cannot be drawn: the operation ${node.id} names a value ${lost} that is not there.`;
    }
  }
  return '';
}

export class GraphView extends Widget implements IRenderMime.IRenderer {
  constructor(options: Pick<IRenderMime.IRendererOptions, 'mimeType'>) {
    super();
    this._type = options.mimeType;
    this.addClass('mlkit-Graph');
    // Keys pressed in the picture are no commands of the notebook around it.
    this.node.addEventListener('focusin', event => {
      (event.target as Element).setAttribute('data-lm-suppress-shortcuts', 'true');
    });
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const data = model.data[this._type] as unknown;
    const wrong = objection(data);
    if (wrong) {
      this._complain(wrong);
      return;
    }
    const text = JSON.stringify(data);
    if (text === this._drawn) {
      return; // a document that was saved, not changed
    }
    try {
      this._graph = new Graph(data as GraphDocument);
      // Modules that hold modules: a layer's own operations say less than its name.
      const holders = this._modules().filter(path => this._graph!.modules.get(path)!.children.length > 0);
      this._open = new Set(this._graph.nodes.size <= SMALL ? holders : []);
      this._draw();
      this._drawn = text;
    } catch (error) {
      this._complain(`This graph cannot be drawn: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private _complain(words: string): void {
    const note = document.createElement('p');
    note.className = 'mlkit-Graph-problem';
    note.setAttribute('role', 'alert');
    note.textContent = words;
    this.node.replaceChildren(note);
  }

  private _modules(): string[] {
    return [...(this._graph?.modules.keys() ?? [])].filter(path => path !== '');
  }

  private _draw(focus?: string): void {
    const graph = this._graph!;
    const picture = layOut(graph, this._open);
    const name = graph.document.name || 'graph';
    const width = picture.width + 2 * PAD;
    const height = picture.height + 2 * PAD;

    const head = document.createElement('div');
    head.className = 'mlkit-Graph-head';
    const title = document.createElement('b');
    title.textContent = name;
    const facts = document.createElement('span');
    const numbers = (graph.root.parameters ?? 0) || graph.document.modules.filter(module => module.path === '')[0]?.parameters || 0;
    facts.textContent = [
      `${graph.nodes.size.toLocaleString('en-GB')} operations`,
      numbers ? `${numbers.toLocaleString('en-GB')} parameters` : ''
    ]
      .filter(Boolean)
      .join(' · ');
    head.append(title, facts);
    const modules = this._modules();
    if (modules.length) {
      const many = graph.nodes.size > MOST;
      head.append(
        this._button('Expand all', many ? `More than ${MOST} operations: open modules one by one` : '', many || modules.every(path => this._open.has(path)), () => {
          this._open = new Set(modules);
        }),
        this._button('Collapse all', '', this._open.size === 0, () => {
          this._open = new Set();
        })
      );
    }

    const svg = make('svg', {
      width, height, viewBox: `${-PAD} ${-PAD} ${width} ${height}`, role: 'group', 'aria-label': `Graph of ${name}`
    }); // prettier-ignore
    // Large boxes first: what lies in them is drawn over them.
    const items = [...picture.items].sort((a, b) => a.depth - b.depth || Number(b.kind === 'open') - Number(a.kind === 'open'));
    for (const item of items.filter(one => one.kind === 'open')) {
      svg.append(this._box(item));
    }
    for (const wire of picture.wires) {
      svg.append(make('path', { d: curve(wire.points), class: 'wire' }));
      const end = wire.points[wire.points.length - 1];
      if (end) {
        svg.append(make('path', { d: `M${end[0] - 3.5} ${end[1] - 6}L${end[0]} ${end[1]}L${end[0] + 3.5} ${end[1] - 6}z`, class: 'arrow' }));
      }
      if (wire.labelAt && wire.label) {
        svg.append(make('text', { x: wire.labelAt[0], y: wire.labelAt[1] + 4, 'text-anchor': 'middle', class: 'label' }, wire.label));
      }
    }
    for (const item of items.filter(one => one.kind !== 'open')) {
      svg.append(this._box(item));
    }
    const stage = document.createElement('div');
    stage.className = 'mlkit-Graph-stage';
    stage.tabIndex = 0;
    stage.setAttribute('role', 'region');
    stage.setAttribute('aria-label', `Picture of ${name}`);
    stage.append(svg);
    const old = this.node.querySelector('.mlkit-Graph-stage');
    const [left, top] = [old?.scrollLeft ?? 0, old?.scrollTop ?? 0];
    this.node.replaceChildren(head, stage);
    stage.scrollTo(left, top);
    if (focus) {
      const back = [...this.node.querySelectorAll<SVGElement | HTMLElement>('[data-key]')].find(one => one.dataset.key === focus);
      back?.focus();
    }
  }

  private _button(words: string, why: string, disabled: boolean, act: () => void): HTMLButtonElement {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = words;
    button.title = why;
    button.dataset.key = words;
    button.setAttribute('aria-disabled', String(disabled));
    button.addEventListener('click', () => {
      if (button.getAttribute('aria-disabled') !== 'true') {
        act();
        this._draw(words);
      }
    });
    return button;
  }

  private _box(item: Placed): SVGElement {
    const graph = this._graph!;
    const key = item.id.slice(item.id.lastIndexOf('/') + 1);
    const group = make('g', { transform: `translate(${item.x.toFixed(1)} ${item.y.toFixed(1)})`, class: item.kind, 'data-key': key });
    const dot = item.width < 20;
    const radius = item.kind === 'module' || item.kind === 'open' ? 8 : Math.min(item.height / 2, 13);
    group.append(make('rect', { width: item.width, height: item.height, rx: radius }));
    group.append(make('title', {}, this._tip(item, key)));
    if (dot) {
      return group;
    }
    if (item.kind === 'open') {
      const line = make('text', { x: 12, y: 19 });
      line.append(make('tspan', { class: 'title' }, `▾ ${item.title}`), make('tspan', { class: 'subtitle', dx: 8 }, item.subtitle));
      group.append(line);
    } else {
      const middle = { x: item.width / 2, 'text-anchor': 'middle' };
      const mark = item.kind === 'module' ? '▸ ' : '';
      group.append(make('text', { ...middle, y: item.subtitle ? 19 : item.height / 2 + 4.5, class: 'title' }, mark + item.title));
      if (item.subtitle) {
        group.append(make('text', { ...middle, y: 35, class: 'subtitle' }, item.subtitle));
      }
    }
    if (item.kind === 'module' || item.kind === 'open') {
      const path = key.slice(2);
      const rect = group.firstElementChild!;
      group.setAttribute('tabindex', '0');
      group.setAttribute('role', 'button');
      group.setAttribute('aria-expanded', String(this._open.has(path)));
      group.setAttribute('aria-label', graph.nameOf(key));
      rect.classList.add('toggle');
      const toggle = () => {
        if (!this._open.delete(path)) {
          this._open.add(path);
        } else {
          for (const inner of [...this._open].filter(one => one.startsWith(`${path}.`))) {
            this._open.delete(inner);
          }
        }
        this._draw(key);
      };
      group.addEventListener('click', toggle);
      group.addEventListener('keydown', event => {
        if (event.key === 'Enter' || event.key === ' ') {
          event.preventDefault();
          event.stopPropagation();
          toggle();
        }
      });
    } else {
      group.setAttribute('role', 'img');
      group.setAttribute('aria-label', graph.nameOf(key));
    }
    return group;
  }

  /** What the pointer is told: shapes, and the line of the program. */
  private _tip(item: Placed, key: string): string {
    const graph = this._graph!;
    const lines = [graph.nameOf(key)];
    const node = key.startsWith('n:') ? graph.nodes.get(key.slice(2)) : undefined;
    if (node) {
      const held = node.inputs.map(id => graph.values.get(id)).filter(value => value && value.kind === 'parameter');
      lines.push(...held.map(value => `${value!.name ?? 'parameter'} ${shapeText(value!.shape)}`));
      if (node.source?.code) {
        lines.push(`${node.source.file ?? ''}:${node.source.line ?? ''}  ${node.source.code}`);
      }
    } else if (item.kind === 'module' || item.kind === 'open') {
      const extra = graph.modules.get(key.slice(2))?.extra;
      if (extra) {
        lines.push(extra);
      }
      lines.push(item.kind === 'open' ? 'Click to close it' : 'Click to open it');
    }
    return lines.join('\n');
  }

  private readonly _type: string;
  private _graph: Graph | null = null;
  private _open = new Set<string>();
  private _drawn = '';
}
