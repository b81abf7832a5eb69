/** The model builder in the browser: palette, canvas, and what is chosen, as code, and in training. */
import flowCss from "@xyflow/react/dist/base.css";
import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { bytes, count } from "../../shared/format";
import { useTrait } from "../../shared/model";
import { define } from "../../shared/mount";
import { useTheme } from "../../shared/theme";
import { Canvas, type Chosen, type Drop, type Flow, Here, WIDTH } from "./canvas";
import { CodePane } from "./code";
import { type Answer, type Block, Editor, isModelText, short } from "./editor";
import { Palette, search } from "./palette";
import { Panel } from "./panel";
import { Train } from "./train";
import css from "./view.css";

const TEMPLATES = ["MLP", "CNN", "ResNet block", "Transformer block"];
const TABS = ["Block", "Code", "Train"] as const;
type Tab = (typeof TABS)[number];
const LEGIBLE = 0.62;
const NOBODY: Chosen = { blocks: [], links: [], notes: [] };
const same = (a: Chosen, b: Chosen) => JSON.stringify(a) === JSON.stringify(b);

export function ModelBuilder({ editor }: { editor: Editor }) {
  useSyncExternalStore(editor.subscribe, editor.snapshot);
  const theme = useTheme();
  const [height] = useTrait<number>(editor.model, "height");
  const [path, setPath] = useState<string[]>([]);
  const [chosen, setChosen] = useState<Chosen>(NOBODY);
  const [wanted, setWanted] = useState<string[] | null>(null);
  const [tab, setTab] = useState<Tab>("Block");
  const [said, setSaid] = useState<[string, boolean]>(["", true]);
  const [drop, setDrop] = useState<Drop | null>(null);
  const [menu, setMenu] = useState(false);
  const flow = useRef<Flow | null>(null);
  const last = useRef(NOBODY); // what the canvas has said last: it says the same again whenever it is drawn
  const behind = useRef<string | undefined>(undefined); // the block that the next one is added behind
  const root = useRef<HTMLDivElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const document_ = editor.document;

  // A sub-graph that an undo took away closes.
  const known = [document_.name, ...document_.graphs.map(({ name }) => name)];
  const open = path.filter((name) => known.includes(name));
  const graph = open.at(-1) ?? document_.name;
  const data = editor.graph(graph);
  const shapes = editor.shapes(graph);
  const wrong = shapes.problems.filter(({ open }) => !open);
  const latest = useRef(graph);
  latest.current = graph;
  const say = useCallback((words: string) => setSaid([words, true]), []);

  const choose = useCallback((next: Chosen) => {
    if (same(last.current, next)) return;
    last.current = next;
    behind.current = next.blocks.length === 1 ? next.blocks[0] : undefined;
    setChosen(next);
  }, []);
  const select = useCallback((names: string[]) => setWanted(names), []);
  useEffect(() => {
    if (!wanted) return;
    const timer = setTimeout(() => setWanted(null), 0); // what is chosen afterwards is the user's again
    const node = wanted.length === 1 ? flow.current?.getNode(wanted[0]!) : undefined;
    if (node && stage.current) {
      const box = stage.current.getBoundingClientRect();
      const at = flow.current!.flowToScreenPosition(node.position);
      if (at.x < box.left || at.y < box.top || at.x + 120 > box.right || at.y + 60 > box.bottom)
        flow.current!.setCenter(node.position.x + WIDTH / 2, node.position.y, { zoom: flow.current!.getZoom() });
    }
    return () => clearTimeout(timer);
  }, [wanted]);

  const fit = useCallback(
    (whole = true) => {
      setTimeout(() => {
        const { blocks, positions } = editor.graph(latest.current);
        const places = blocks.map(({ name }) => positions[name] ?? ([0, 0] as [number, number]));
        show(flow.current, stage.current, places, whole);
      }, 30);
    },
    [editor],
  );
  const ready = useCallback(() => fit(false), [fit]);
  // A canvas that nobody has touched yet shows its model whole, however the page around it is laid out in the end.
  const touched = useRef(false);
  useEffect(() => {
    const sizes = new ResizeObserver(() => touched.current || fit(false));
    sizes.observe(stage.current!);
    return () => sizes.disconnect();
  }, [fit]);

  // What was said is read and goes; what went wrong stays until the next step.
  useEffect(() => {
    if (!said[0] || !said[1]) return;
    const timer = setTimeout(() => setSaid(["", true]), 8000);
    return () => clearTimeout(timer);
  }, [said]);

  /** Whether all blocks of this graph are in view. */
  const inView = useCallback(() => {
    const { left, top, right, bottom } = stage.current!.getBoundingClientRect();
    const { blocks, positions } = editor.graph(latest.current);
    return blocks.every(({ name }) => {
      const [x, y] = positions[name] ?? [0, 0];
      const one = flow.current?.flowToScreenPosition({ x, y });
      const two = flow.current?.flowToScreenPosition({ x: x + WIDTH, y: y + 64 });
      return one && two && one.x >= left && one.y >= top && two.x <= right && two.y <= bottom;
    });
  }, [editor]);

  const run = useCallback(
    async (asked: Promise<Answer>) => {
      const whole = inView();
      const answer = await asked;
      if (!answer.ok) setSaid([answer.error ?? "That did not work.", false]);
      else setSaid([answer.said ?? "", true]);
      if (answer.select?.length) {
        behind.current = answer.select.at(-1); // at once: the canvas says so a moment later
        select(answer.select);
      }
      if (answer.fit) fit(false);
      // Who saw the whole model goes on seeing it when a repair has pushed some of it out of view.
      if (answer.room && whole) setTimeout(() => inView() || fit(), 60);
      if (answer.panel === "train") setTab("Train");
      return answer;
    },
    [select, fit, inView],
  );
  const enter = useCallback(
    (block: Block) => {
      setPath((now) => [...now, String(block.properties?.graph)]);
      choose(NOBODY);
    },
    [choose],
  );
  const place = useMemo(() => ({ editor, graph, run, enter }), [editor, graph, run, enter]);

  // Whoever types faster than the kernel answers gets the same chain of blocks: one is added after the other.
  const queue = useRef<Promise<unknown>>(Promise.resolve());
  const add = useCallback(
    (type: string, more?: Record<string, unknown>) => {
      queue.current = queue.current.then(() => {
        const graph = latest.current;
        const after = behind.current;
        return run(editor.step("add", graph, { type, ...(more ?? (after ? { after } : {})) }));
      });
    },
    [editor, run],
  );
  const addByKey = useCallback((type: string) => add(type), [add]);

  const undo = () =>
    run(editor.step("undo", graph).then((a) => ({ ...a, said: a.said ? `Undid: ${a.said}` : "Nothing to undo." })));
  const redo = () =>
    run(editor.step("redo", graph).then((a) => ({ ...a, said: a.said ? `Redid: ${a.said}` : "Nothing to redo." })));
  const remove = () => {
    const { blocks, links, notes } = chosen;
    if (blocks.length + links.length + notes.length === 0) return;
    run(editor.step("remove", graph, { blocks, notes, links: blocks.length ? [] : links }));
    choose(NOBODY);
    stage.current?.focus();
  };
  const copy = (): string => (chosen.blocks.length ? editor.copy(data, new Set(chosen.blocks)) : "");
  const paste = (text: string) => {
    if (isModelText(text)) {
      const box = stage.current!.getBoundingClientRect();
      const middle = flow.current?.screenToFlowPosition({
        x: box.left + box.width / 2 - 60,
        y: box.top + box.height / 3,
      });
      const own = data.blocks.some(({ name }) => text.includes(`"name":"${name}"`));
      run(editor.step("paste", graph, { text, position: own || !middle ? null : [middle.x, middle.y] }));
    } else if (/\bclass \w+|nn\.Sequential/.test(text))
      run(editor.step("code", graph, { text, fit: true })).then(() => fit(false));
    else setSaid(["The clipboard holds no blocks and no model's code.", false]);
  };
  const group = () => {
    if (chosen.blocks.length) run(editor.step("group", graph, { blocks: chosen.blocks, title: "Part" }));
  };
  const offerFrom = (name = chosen.blocks[0]) => {
    const node = name ? flow.current?.getNode(name) : undefined;
    if (!node) return;
    const at = flow.current!.flowToScreenPosition({ x: node.position.x + WIDTH / 2, y: node.position.y + 60 });
    setDrop({ x: at.x, y: at.y, at: [Number.NaN, Number.NaN], source: name });
  };
  const leave = () => setPath(open.slice(0, -1));

  const onKey = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    const nodeOf = (name?: string) => stage.current!.querySelector<HTMLElement>(`.react-flow__node[data-id="${name}"]`);
    if (event.key === "Escape" && target.closest(".side,.palette")) {
      (nodeOf(chosen.blocks[0]) ?? stage.current!).focus();
      return;
    }
    if (target.closest("input,textarea,select") || event.altKey) return;
    const key = event.key.toLowerCase();
    const inCanvas = stage.current!.contains(target) || target === root.current?.parentElement;
    const control = event.ctrlKey || event.metaKey;
    let done = true;
    if (control && key === "z") event.shiftKey ? redo() : undo();
    else if (control && key === "y") redo();
    else if (control && key === "g") group();
    else if (control && key === "a" && inCanvas) select(data.blocks.map(({ name }) => name));
    else if (control && key === "d" && inCanvas) copy() && run(editor.step("paste", graph, { text: editor.clipping }));
    else if (control) done = false;
    else if (key === "/") root.current!.querySelector<HTMLElement>(".palette input")!.focus();
    else if (!inCanvas) done = false;
    else if (key === "delete" || key === "backspace") remove();
    else if (key === "f") fit();
    else if (key === "+" || key === "=") flow.current?.zoomIn();
    else if (key === "-") flow.current?.zoomOut();
    else if (key === "l") offerFrom(target.closest<HTMLElement>(".react-flow__node")?.dataset.id);
    else if (key === "escape" && !chosen.blocks.length && open.length) leave();
    else if (key === "enter" && !target.closest("button")) {
      const name = target.closest<HTMLElement>(".react-flow__node")?.dataset.id ?? "";
      const block = data.blocks.find((one) => one.name === name);
      if (!block || !flow.current?.getNode(name)?.selected) done = false;
      else if (block.type === "Graph") enter(block);
      else {
        setTab("Block");
        focusSettings(root.current!, name);
      }
    } else done = false;
    if (done) {
      event.preventDefault();
      event.stopPropagation();
    }
  };
  const clip = (event: React.ClipboardEvent, cut: boolean) => {
    if ((event.target as Element).closest("input,textarea")) return;
    const text = copy();
    if (!text) return;
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
    say(`${count(chosen.blocks.length)} copied.`);
    if (cut) remove();
  };

  const empty = data.blocks.length === 0 && open.length === 0;
  const tool = (label: string, act: () => void, possible = true, title = label) => (
    <button type="button" aria-disabled={!possible} title={title} onClick={() => possible && act()}>
      {label}
    </button>
  );
  const { undo: past, redo: future } = editor.history;
  const [parameters, macs, weights, activations] = shapes.total;
  return (
    <Here.Provider value={place}>
      <div
        className="mlkit mlkit-builder"
        data-theme={theme}
        data-blocks={data.blocks.length}
        data-state={editor.training.state}
        role="region"
        aria-label={`Model builder: ${document_.name}`}
        ref={root}
        style={{ "--height": `${height}px` } as React.CSSProperties}
        onPointerDownCapture={() => {
          touched.current = true;
        }}
        onKeyDownCapture={() => {
          touched.current = true;
        }}
        onKeyDown={onKey}
        onCopy={(event) => clip(event, false)}
        onCut={(event) => clip(event, true)}
        onPaste={(event) => {
          if ((event.target as Element).closest("input,textarea")) return;
          event.preventDefault();
          paste(event.clipboardData.getData("text/plain") || editor.clipping);
        }}
      >
        <div className="bar" role="toolbar" aria-label="Tools">
          <div className="menu">
            <button type="button" aria-expanded={menu} aria-haspopup="menu" onClick={() => setMenu(!menu)}>
              Templates ▾
            </button>
            {menu ? (
              <div
                role="menu"
                aria-label="Templates"
                onKeyDown={(event) => {
                  if (event.key !== "Escape") return;
                  event.stopPropagation();
                  setMenu(false);
                }}
              >
                {TEMPLATES.map((name) => (
                  <button
                    type="button"
                    role="menuitem"
                    key={name}
                    onClick={() => {
                      setMenu(false);
                      setPath([]);
                      run(editor.step("template", null, { name }));
                    }}
                  >
                    {name}
                  </button>
                ))}
              </div>
            ) : null}
          </div>
          <span className="set">
            {tool("Undo", undo, Boolean(past), past ? `Undo: ${past} (Ctrl+Z)` : "Nothing to undo")}
            {tool("Redo", redo, Boolean(future), future ? `Redo: ${future} (Ctrl+Y)` : "Nothing to redo")}
          </span>
          <span className="set">
            {tool(
              "Copy",
              () => {
                const text = copy();
                navigator.clipboard?.writeText(text).catch(() => {});
                say(`${count(chosen.blocks.length)} copied.`);
              },
              chosen.blocks.length > 0,
              "Copy what is chosen (Ctrl+C)",
            )}
            {tool(
              "Paste",
              async () => paste((await navigator.clipboard?.readText().catch(() => "")) || editor.clipping || " "),
              true,
              "Paste blocks or code (Ctrl+V)",
            )}
          </span>
          <span className="set">
            {tool("Part", group, chosen.blocks.length > 0, "Make what is chosen a part of its own (Ctrl+G)")}
            {tool("Note", () => {
              const at = flow.current!.screenToFlowPosition(middleOf(stage.current!));
              run(editor.step("note", graph, { text: "", position: [at.x, at.y] }));
            })}
          </span>
          <span className="set">
            {tool(
              "Arrange",
              () => run(editor.step("arrange", graph)),
              data.blocks.length > 0,
              "Put the blocks in rows",
            )}
            {tool("Fit", () => fit(), true, "See all (F)")}
          </span>
          {tool("Save", () => run(editor.step("save", null)), data.blocks.length > 0, "Write name.mlmodel.json")}
        </div>
        <div className="body" data-tab={tab}>
          <Palette
            types={editor.types}
            own={editor.home === "notebook" && !editor.groups.some(({ name }) => name === "Yours")}
            add={addByKey}
          />
          <div className="middle">
            <nav className="crumbs" aria-label="Where you are">
              {[document_.name, ...open].map((name, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: a step of the path is its place
                <span key={`${name} ${i}`}>
                  {i ? <span className="quiet"> › </span> : null}
                  <button
                    type="button"
                    aria-current={i === open.length ? "page" : undefined}
                    onClick={() => setPath(open.slice(0, i))}
                  >
                    {name}
                  </button>
                </span>
              ))}
            </nav>
            <div className="stage" role="region" aria-label="Model canvas" tabIndex={-1} ref={stage}>
              <Canvas
                key={graph}
                theme={theme}
                flow={flow}
                chosen={chosen}
                ready={ready}
                wanted={wanted}
                choose={choose}
                offer={setDrop}
                add={add}
              />
              {empty ? (
                <div className="welcome">
                  <h2>Drag a block here</h2>
                  <p>
                    Or press Enter on one in the palette. Begin with data such as digits, with an Input, or with a model
                    that is whole:
                  </p>
                  <div className="controls">
                    {TEMPLATES.map((name) => (
                      <button type="button" key={name} onClick={() => run(editor.step("template", null, { name }))}>
                        {name}
                      </button>
                    ))}
                  </div>
                  <p className="quiet">Code can be pasted too: a class Net(nn.Module) becomes blocks.</p>
                </div>
              ) : null}
              <p
                className="said"
                role={said[1] ? "status" : "alert"}
                data-bad={said[1] ? undefined : ""}
                data-words={said[0] ? "" : undefined}
              >
                {said[0]}
              </p>
            </div>
            <div className="status">
              <span>
                {count(parameters)} parameters · {short(macs)} multiply-adds · {bytes(weights)} weights ·{" "}
                {bytes(activations)} activations
              </span>
              {wrong.length ? (
                <button
                  type="button"
                  className="bad"
                  onClick={() => {
                    setTab("Block");
                    select([wrong[0]!.block]);
                  }}
                >
                  ⚠ {wrong.length === 1 ? "1 problem" : `${wrong.length} problems`}
                </button>
              ) : null}
              {shapes.problems.length > wrong.length ? (
                <span>
                  {shapes.problems.length - wrong.length}{" "}
                  {shapes.problems.length - wrong.length === 1 ? "block" : "blocks"} to link
                </span>
              ) : null}
            </div>
          </div>
          <div className="side">
            <div className="tabs" role="tablist" aria-label="Panel">
              {TABS.map((name) => (
                <button
                  type="button"
                  role="tab"
                  key={name}
                  id={`mlkit-${name}`}
                  aria-selected={tab === name}
                  tabIndex={tab === name ? 0 : -1}
                  onClick={() => setTab(name)}
                  onKeyDown={(event) => {
                    const by = { ArrowRight: 1, ArrowLeft: TABS.length - 1 }[event.key];
                    if (!by) return;
                    const next = TABS[(TABS.indexOf(name) + by) % TABS.length]!;
                    setTab(next);
                    event.currentTarget.parentElement!.querySelector<HTMLElement>(`#mlkit-${next}`)!.focus();
                  }}
                >
                  {name}
                </button>
              ))}
            </div>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so it must be reached by keyboard */}
            <div className="panel" role="tabpanel" aria-label={tab} tabIndex={0}>
              {tab === "Block" ? <Panel chosen={chosen} group={group} remove={remove} /> : null}
              {tab === "Code" ? <CodePane editor={editor} say={say} /> : null}
              {tab === "Train" ? <Train editor={editor} run={run} /> : null}
            </div>
          </div>
        </div>
        {drop ? (
          <Offer
            drop={drop}
            editor={editor}
            graph={graph}
            close={() => {
              setDrop(null);
              stage.current?.focus();
            }}
            add={add}
            link={(target) => run(editor.step("connect", graph, { source: drop.source, output: drop.output, target }))}
            box={() => root.current!.getBoundingClientRect()}
          />
        ) : null}
      </div>
    </Here.Provider>
  );
}

/** Show all blocks; or, of a model too large to be read as a whole, its beginning in letters that can be read. */
function show(flow: Flow | null, stage: Element | null, places: [number, number][], whole: boolean): void {
  if (!flow || !stage || places.length === 0) return;
  const { width, height } = stage.getBoundingClientRect();
  const xs = places.map(([x]) => x);
  const ys = places.map(([, y]) => y);
  const [left, right] = [Math.min(...xs), Math.max(...xs) + WIDTH];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys) + 64];
  const all = Math.min(1, (width - 40) / (right - left), (height - 40) / (bottom - top));
  const zoom = Math.max(0.02, whole || all > LEGIBLE ? all : LEGIBLE);
  const first = places.reduce((a, b) => (b[1] < a[1] ? b : a))[0] + WIDTH / 2;
  const middle = all < zoom && (right - left) * zoom > width ? first : (left + right) / 2;
  const y = all < zoom ? 20 - top * zoom : height / 2 - ((top + bottom) / 2) * zoom;
  flow.setViewport({ zoom, x: width / 2 - middle * zoom, y });
}

/** Into the settings of a block, as soon as the panel shows them. */
function focusSettings(root: HTMLElement, name: string, tries = 30): void {
  const first = root.querySelector<HTMLInputElement>(".panel .field input");
  if (first?.value === name)
    (root.querySelector<HTMLElement>(".panel h4 + .field :is(input, select)") ?? first).focus();
  else if (tries) requestAnimationFrame(() => focusSettings(root, name, tries - 1));
}

const middleOf = (element: Element) => {
  const { left, top, width, height } = element.getBoundingClientRect();
  return { x: left + width / 2 - 80, y: top + height / 2 - 40 };
};

interface OfferProps {
  drop: Drop;
  editor: Editor;
  graph: string;
  close(): void;
  add(type: string, more: Record<string, unknown>): void;
  link(target: string): void;
  box(): DOMRect;
}

/** What may stand at the free end of a link: blocks that fit, and (from the keyboard) blocks that are there. */
function Offer({ drop, editor, graph, close, add, link, box }: OfferProps) {
  const [names, setNames] = useState<string[] | null>(null);
  const [words, setWords] = useState("");
  const [at, setAt] = useState(0);
  const byKey = Number.isNaN(drop.at[0]);
  useEffect(() => {
    const { source, output } = drop;
    let open = true;
    const ask = async () => {
      const { fits } = await editor.step("fits", graph, source ? { source, output } : {});
      if (open && fits) setNames(fits);
      else if (open) ask(); // the kernel was busy
    };
    ask();
    return () => {
      open = false;
    };
  }, [drop, editor, graph]);
  const there = byKey
    ? editor
        .graph(graph)
        .blocks.filter(({ name, type }) => name !== drop.source && type !== "Input" && name.includes(words.trim()))
    : [];
  const fitting = search(
    (names ?? []).flatMap((name) => editor.types.get(name) ?? []),
    words,
  );
  const items: [string, string, () => void][] = [
    ...fitting.map(({ name, doc }): [string, string, () => void] => [
      name,
      doc,
      () =>
        add(name, {
          ...(byKey ? {} : { position: drop.at }),
          ...(drop.source ? { after: drop.source, output: drop.output } : { before: drop.target, input: drop.input }),
        }),
    ]),
    ...there.map(({ name, type }): [string, string, () => void] => [`Link to ${name}`, type, () => link(name)]),
  ];
  const here = Math.min(at, items.length - 1);
  const take = (item?: [string, string, () => void]) => {
    if (!item) return;
    item[2]();
    close();
  };
  const frame = box();
  return (
    <div
      className="offer"
      role="dialog"
      aria-label="Blocks that fit"
      style={{
        left: Math.max(8, Math.min(drop.x - frame.left, frame.width - 250)),
        top: Math.max(8, Math.min(drop.y - frame.top, frame.height - 300)),
      }}
      onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && close()}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Escape") close();
        else if (event.key === "ArrowDown") setAt(Math.min(here + 1, items.length - 1));
        else if (event.key === "ArrowUp") setAt(Math.max(here - 1, 0));
        else if (event.key === "Enter") take(items[here]);
        else return;
        event.preventDefault();
      }}
    >
      <input
        type="search"
        // biome-ignore lint/a11y/noAutofocus: the dialog was asked for
        autoFocus
        aria-label="Search blocks that fit"
        placeholder={names ? `${names.length} blocks fit` : "Asking…"}
        role="combobox"
        aria-expanded="true"
        aria-controls="mlkit-offer"
        aria-activedescendant={items.length ? `mlkit-offer-${here}` : undefined}
        value={words}
        onChange={(event) => {
          setWords(event.target.value);
          setAt(0);
        }}
      />
      <div role="listbox" id="mlkit-offer" aria-label="Blocks that fit">
        {items.slice(0, 60).map((item, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys belong to the field above, which names the chosen option
          <div
            role="option"
            key={item[0]}
            id={`mlkit-offer-${i}`}
            tabIndex={-1}
            aria-selected={i === here}
            aria-label={item[0]}
            ref={(element) => {
              if (i === here) element?.scrollIntoView?.({ block: "nearest" });
            }}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => take(item)}
          >
            <b>{item[0]}</b>
            <small>{item[1]}</small>
          </div>
        ))}
      </div>
    </div>
  );
}

export default define(
  "model-builder",
  `${flowCss}\n${css}`,
  ({ model, channel }) => new Editor(model, channel),
  (editor) => <ModelBuilder editor={editor} />,
  (editor) => editor.close(),
);
