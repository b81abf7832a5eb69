/** What is chosen, with everything that can be set of it. */
import { type KeyboardEvent, type ReactNode, useContext, useEffect, useId, useState } from "react";
import { bytes, count } from "../../shared/format";
import { type Chosen, Here } from "./canvas";
import { type Block, type Editor, type Problem, type Property, read, shapeText, short, write } from "./editor";

/** A text field that is applied with Enter or when it is left. */
function Field({
  label,
  value,
  placeholder,
  apply,
  after,
  check,
}: {
  label: string;
  value: string;
  placeholder?: string;
  apply(text: string): void;
  after?: ReactNode;
  check?(text: string): string;
}) {
  const id = useId();
  const [draft, setDraft] = useState(value);
  const [wrong, setWrong] = useState("");
  useEffect(() => {
    setDraft(value);
    setWrong("");
  }, [value]);
  const commit = () => {
    if (draft === value) return setWrong("");
    const words = check?.(draft) ?? "";
    setWrong(words);
    if (!words) apply(draft);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter") commit();
    if (event.key === "Escape") {
      setDraft(value);
      setWrong("");
    }
  };
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="text"
        autoComplete="off"
        spellCheck={false}
        value={draft}
        placeholder={placeholder}
        aria-invalid={Boolean(wrong)}
        aria-describedby={wrong ? `${id}e` : undefined}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={commit}
        onKeyDown={onKey}
      />
      {after}
      {wrong ? (
        <p className="wrong" id={`${id}e`} role="alert">
          {wrong}
        </p>
      ) : null}
    </div>
  );
}

function Setting({ block, property }: { block: Block; property: Property }) {
  const { editor, graph, run } = useContext(Here);
  const id = useId();
  const given = block.properties?.[property.name];
  const set = given !== undefined;
  const standard = write(property.default ?? null);
  const send = (value: unknown) => run(editor.step("set", graph, { block: block.name, name: property.name, value }));
  const reset = () => run(editor.step("set", graph, { block: block.name, name: property.name, reset: true }));
  const back =
    set && !property.required ? (
      <button
        type="button"
        className="mini"
        onClick={reset}
        aria-label={`Default ${property.name}`}
        title={`Default: ${standard}`}
      >
        ↺
      </button>
    ) : null;
  if (property.type === "bool")
    return (
      <div className="field check">
        <input
          id={id}
          type="checkbox"
          checked={Boolean(given ?? property.default)}
          onChange={(event) => send(event.target.checked)}
        />
        <label htmlFor={id}>{property.name}</label>
        {back}
      </div>
    );
  if (property.choices)
    return (
      <div className="field">
        <label htmlFor={id}>{property.name}</label>
        <select id={id} value={String(given ?? property.default ?? "")} onChange={(event) => send(event.target.value)}>
          {property.choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
        {back}
      </div>
    );
  return (
    <Field
      label={property.name}
      value={set ? write(given).replace("batch", "N") : ""}
      placeholder={property.required && property.default === undefined ? "required" : standard}
      after={back}
      check={(text) => {
        try {
          if (text.trim()) read(text, property);
          else if (property.required) return `${property.name} must be set.`;
          return "";
        } catch (error) {
          return (error as Error).message;
        }
      }}
      apply={(text) => (text.trim() ? send(read(text, property)) : reset())}
    />
  );
}

/** Everything that is wrong with a block, and what would help. */
export function Trouble({ problem }: { problem: Problem }) {
  const { editor, graph, run } = useContext(Here);
  return (
    <div
      className="trouble"
      role="group"
      aria-label={problem.open ? "To do" : "Problem"}
      data-open={problem.open ? "" : undefined}
    >
      <p>
        {problem.open ? "○" : "⚠"} {problem.message}
      </p>
      {problem.came && problem.wanted ? (
        <p className="quiet">
          comes in: {shapeText(problem.came)} · wanted: {shapeText(problem.wanted).replaceAll("*", "…")}
        </p>
      ) : null}
      {problem.repairs.map((words, number) => (
        <button
          type="button"
          key={words}
          onClick={() => run(editor.step("repair", graph, { block: problem.block, number }))}
        >
          {words}
        </button>
      ))}
    </div>
  );
}

function Links({ block }: { block: Block }) {
  const { editor, graph, run } = useContext(Here);
  const id = useId();
  const data = editor.graph(graph);
  const [inputs, optional] = editor.ports(graph, block);
  const variadic = editor.types.get(block.type)?.variadic;
  const into = data.links.filter(({ to }) => to.startsWith(`${block.name}.`));
  const names = variadic
    ? [...into.map(({ to }) => to.split(".")[1]!), String(into.length)].filter((n, i, all) => all.indexOf(n) === i)
    : [...inputs, ...optional];
  const sources = data.blocks.flatMap((other) =>
    other.name === block.name ? [] : editor.ports(graph, other)[2].map((port) => [other.name, port] as const),
  );
  return names.map((port) => {
    const link = into.find(({ to }) => to === `${block.name}.${port}`);
    return (
      <div className="field" key={port}>
        <label htmlFor={id + port}>{names.length > 1 ? `from (${port})` : "from"}</label>
        <select
          id={id + port}
          value={link?.from ?? ""}
          onChange={({ target: { value } }) => {
            if (!value) return run(editor.step("disconnect", graph, { links: [`${link!.from} -> ${link!.to}`] }));
            const [source, output] = value.split(".");
            run(editor.step("connect", graph, { source, output, target: block.name, input: port }));
          }}
        >
          <option value="">nothing</option>
          {sources.map(([name, output]) => (
            <option key={`${name}.${output}`} value={`${name}.${output}`}>
              {output === "output" ? name : `${name} (${output})`}
            </option>
          ))}
        </select>
      </div>
    );
  });
}

function BlockPanel({ block }: { block: Block }) {
  const { editor, graph, run, enter } = useContext(Here);
  const id = useId();
  const type = editor.types.get(block.type);
  const shapes = editor.shapes(graph);
  const problem = shapes.problems.find((one) => one.block === block.name);
  const cost = shapes.costs[block.name];
  const inner = block.type === "Graph" ? String(block.properties?.graph) : "";
  const data = editor.graph(graph);
  const owners = data.blocks.filter(
    (one) =>
      one.type === block.type &&
      one.name !== block.name &&
      !one.shared &&
      ["module", "graph"].includes(type?.kind ?? ""),
  );
  const sharers = data.blocks.some((one) => one.shared === block.name);
  const outputs = editor.ports(graph, block)[2];
  return (
    <>
      <div className="title">
        <h3>{inner || block.type}</h3>
        <p className="quiet">{type?.doc}</p>
      </div>
      {problem ? <Trouble problem={problem} /> : null}
      {inner ? (
        <div className="controls">
          <button type="button" onClick={() => enter(block)}>
            Open
          </button>
          <button type="button" onClick={() => run(editor.step("ungroup", graph, { block: block.name }))}>
            Write out
          </button>
        </div>
      ) : null}
      <Field
        label="name"
        value={block.name}
        apply={(name) => run(editor.step("rename", graph, { block: block.name, name: name.trim() }))}
      />
      <Links block={block} />
      {type?.properties.length ? <h4>Settings</h4> : null}
      {type?.properties
        .filter(({ name }) => !(inner && name === "graph"))
        .map((property) => (
          <Setting key={property.name} block={block} property={property} />
        ))}
      {(owners.length && !sharers) || block.shared ? (
        <div className="field">
          <label htmlFor={id}>weights</label>
          <select
            id={id}
            value={block.shared ?? ""}
            onChange={({ target: { value } }) =>
              run(editor.step("share", graph, { block: block.name, owner: value || null }))
            }
          >
            <option value="">its own</option>
            {owners.map(({ name }) => (
              <option key={name} value={name}>
                those of {name}
              </option>
            ))}
          </select>
        </div>
      ) : null}
      <Field
        label="comment"
        value={block.comment ?? ""}
        apply={(text) => run(editor.step("comment", graph, { block: block.name, text }))}
      />
      {cost ? <h4>Cost</h4> : null}
      <dl className="facts">
        {outputs.map((port) => {
          const value = shapes.values[`${block.name}.${port}`];
          return value ? (
            <Fact key={port} name={port === "output" ? "gives" : port} value={`${shapeText(value[0])} ${value[1]}`} />
          ) : null;
        })}
        {cost ? <Costs cost={cost} /> : null}
      </dl>
    </>
  );
}

const Fact = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt className="quiet">{name}</dt>
    <dd>{value}</dd>
  </div>
);

const Costs = ({ cost: [parameters, macs, weights, activations] }: { cost: [number, number, number, number] }) => (
  <>
    <Fact name="parameters" value={count(parameters)} />
    <Fact name="multiply-adds" value={`${short(macs)} an example`} />
    <Fact name="weights" value={bytes(weights)} />
    <Fact name="activations" value={`${bytes(activations)} an example`} />
  </>
);

function ModelPanel() {
  const { editor, graph, run } = useContext(Here);
  const data = editor.graph(graph);
  const shapes = editor.shapes(graph);
  return (
    <>
      <div className="title">
        <h3>{data.name}</h3>
        <p className="quiet">
          {graph === editor.document.name ? "The model" : "A sub-graph"}; choose a block to set it.
        </p>
      </div>
      <Field
        label="class name"
        value={data.name}
        apply={(name) => run(editor.step("title", graph, { name: name.trim() }))}
      />
      <h4>Cost</h4>
      <dl className="facts">
        <Costs cost={shapes.total} />
      </dl>
      {shapes.problems.length ? (
        <>
          <h4>To do</h4>
          {shapes.problems.map((problem) => (
            <div key={problem.block + problem.message}>
              <b>{problem.block}</b>
              <Trouble problem={problem} />
            </div>
          ))}
        </>
      ) : null}
      <h4>Keys</h4>
      <dl className="facts keys">
        {KEYS.map(([keys, what]) => (
          <Fact key={keys} name={keys} value={what} />
        ))}
      </dl>
    </>
  );
}

const KEYS = [
  ["/", "search the palette"],
  ["Tab", "from block to block"],
  ["Enter", "choose; again: set or open"],
  ["Arrows", "move what is chosen"],
  ["L", "link or add behind"],
  ["Delete", "remove"],
  ["Ctrl+Z, Ctrl+Y", "undo, redo"],
  ["Ctrl+C, X, V, D", "copy, cut, paste, double"],
  ["Ctrl+A, Ctrl+G", "choose all, make a part"],
  ["F, + and −", "fit, zoom"],
  ["Escape", "back; leave a sub-graph"],
] as const;

export function Panel({ chosen, group, remove }: { chosen: Chosen; group(): void; remove(): void }) {
  const { editor, graph } = useContext(Here) as { editor: Editor; graph: string };
  const block =
    chosen.blocks.length === 1 ? editor.graph(graph).blocks.find((b) => b.name === chosen.blocks[0]) : undefined;
  if (block) return <BlockPanel key={block.name} block={block} />;
  const many = chosen.blocks.length + chosen.notes.length + chosen.links.length;
  if (many === 0) return <ModelPanel />;
  return (
    <>
      <div className="title">
        <h3>{chosen.links.length === 1 && many === 1 ? "Link" : `${many} chosen`}</h3>
        <p className="quiet">{chosen.links.length === 1 && many === 1 ? chosen.links[0] : ""}</p>
      </div>
      <div className="controls">
        {chosen.blocks.length > 1 ? (
          <button type="button" onClick={group}>
            Make a part
          </button>
        ) : null}
        <button type="button" onClick={remove}>
          Remove
        </button>
      </div>
    </>
  );
}
