/** The selected item: what it is, where it stands in the program, its tensors, one number of them, and what if. */
import { useEffect, useState } from "react";
import { bytes, count, number } from "../../shared/format";
import { type Graph, type GraphNode, type GraphValue, type Module, placeOf, shapeText } from "../../shared/graph";
import { time } from "../../shared/layout";
import { type Kernel, useTensor, type Which } from "./kernel";
import { Explained, Picker, type Traced } from "./number";
import { type Change, type Effect, WhatIf } from "./what-if";

export interface DetailsProps {
  graph: Graph;
  kernel: Kernel;
  selected: string;
  open: ReadonlySet<string>;
  backward: boolean;
  gradients: { values?: string[]; of?: string; error?: string };
  error: string;
  trace: Traced[];
  changes: Change[];
  effect: Effect;
  toggle(path: string): void;
  reveal(id: string): void;
  setTrace(trace: Traced[]): void;
  setChanges(changes: Change[]): void;
  askGradients(): void;
  /** A tensor that is to be shown though another item is selected. */
  wanted: string | null;
}

/** The values that an item makes. */
export function valuesOf(graph: Graph, id: string): string[] {
  if (id.startsWith("n:")) return graph.nodes.get(id.slice(2))?.outputs ?? [];
  const module = id.startsWith("m:") ? graph.modules.get(id.slice(2)) : undefined;
  return module ? graph.outputsOf(module) : [];
}

export function Details(props: DetailsProps) {
  const { graph, kernel, selected, trace, setTrace } = props;
  const node = selected.startsWith("n:") ? graph.nodes.get(selected.slice(2)) : undefined;
  const module = selected.startsWith("m:") ? graph.modules.get(selected.slice(2)) : undefined;
  const first = valuesOf(graph, selected)[0] ?? null;
  const traced = trace.at(-1) ?? null;
  const [shown, setShown] = useState<string | null>(null);
  const [which, setWhich] = useState<Which>(props.backward ? "gradient" : "value");
  const tracedValue = traced?.value ?? null;
  // Another item is selected, or a number of another tensor is followed: that tensor is shown.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the selection decides, not what it resolves to
  useEffect(() => setShown(first), [selected, first]);
  useEffect(() => {
    if (tracedValue !== null) setShown(tracedValue);
  }, [tracedValue]);
  useEffect(() => {
    if (props.wanted) setShown(props.wanted.split(" ")[0]!);
  }, [props.wanted]);
  useEffect(() => setWhich(props.backward ? "gradient" : "value"), [props.backward]);
  const show = (id: string) => {
    setShown(id);
    setTrace([]);
  };
  const failed = node !== undefined && graph.document.failed === node.id;
  const errorHere = props.error !== "" && (failed || (!node && !module) || (module && inError(graph, module)));
  // While a number is followed, the panel holds nothing else.
  if (traced && shown === traced.value && graph.values.has(traced.value)) {
    return (
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
      <div className="details tracing" role="group" aria-label="Selected" tabIndex={0}>
        <Tracing key={traced.value} {...props} id={traced.value} traced={traced} />
      </div>
    );
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
    <div className="details" role="group" aria-label="Selected" tabIndex={0}>
      {errorHere && failed ? <ErrorCard text={props.error} /> : null}
      {node ? (
        <OpDetails
          graph={graph}
          node={node}
          show={show}
          shown={shown}
          reveal={props.reveal}
          backward={props.backward}
        />
      ) : null}
      {module ? (
        <ModuleDetails
          graph={graph}
          module={module}
          show={show}
          shown={shown}
          open={props.open}
          toggle={props.toggle}
        />
      ) : null}
      {errorHere && !failed ? <ErrorCard text={props.error} /> : null}
      {!node && !module && !errorHere && !shown ? (
        <p className="quiet">
          Select a box to see its tensor, formula, weights and source line. Double-click a module, or press Enter on it,
          to open it.
        </p>
      ) : null}
      {shown && graph.values.has(shown) ? (
        <TensorView
          key={shown}
          {...props}
          kernel={kernel}
          value={graph.values.get(shown)!}
          id={shown}
          which={which}
          setWhich={(next) => {
            setWhich(next);
            if (next === "gradient") props.askGradients();
          }}
        />
      ) : null}
    </div>
  );
}

/** What people call a tensor: its own name, or what made it and where. */
function calledOf(graph: Graph, id: string): string {
  const value = graph.values.get(id)!;
  const maker = graph.producer.get(id);
  return value.name || (maker ? maker.op + (maker.module ? ` in ${maker.module}` : "") : value.kind);
}

// The kernel made this card from the exception, with every text in it escaped.
const ErrorCard = ({ text }: { text: string }) => (
  // biome-ignore lint/security/noDangerouslySetInnerHtml: see above
  <div className="html" ref={reachScrolling} dangerouslySetInnerHTML={{ __html: text }} />
);

const inError = (graph: Graph, module: Module): boolean => {
  const path = graph.document.error?.module ?? "";
  return path === module.path || path.startsWith(`${module.path}.`);
};

interface ValuesProps {
  graph: Graph;
  label: string;
  ids: string[];
  shown: string | null;
  show(id: string): void;
}

function Values({ graph, label, ids, shown, show }: ValuesProps) {
  if (ids.length === 0) return null;
  return (
    <>
      <div className="subtitle">{label}</div>
      <ul className="values">
        {ids.slice(0, 40).map((id) => {
          const value = graph.values.get(id);
          if (!value) return null;
          return (
            <li key={id}>
              <button type="button" aria-pressed={shown === id} onClick={() => show(id)}>
                <span>{calledOf(graph, id)}</span>
                <span className="shape-text">
                  {shapeText(value.shape)} {value.dtype}
                </span>
              </button>
            </li>
          );
        })}
        {ids.length > 40 ? <li className="quiet">and {count(ids.length - 40)} more</li> : null}
      </ul>
    </>
  );
}

interface OpProps {
  graph: Graph;
  node: GraphNode;
  shown: string | null;
  backward: boolean;
  show(id: string): void;
  reveal(id: string): void;
}

function OpDetails({ graph, node, show, shown, reveal, backward }: OpProps) {
  const attrs = Object.entries(node.attrs ?? {});
  const formula = graph.document.formulas?.[node.op];
  const { trouble } = graph.document;
  return (
    <>
      <div className="chosen">
        {node.op}
        {backward ? <span className="extra">and its gradient</span> : null}
      </div>
      {node.module ? (
        <p className="quiet">
          in{" "}
          <button type="button" className="link" onClick={() => reveal(`m:${placeOf(node)}`)}>
            {node.module}
          </button>{" "}
          {graph.modules.get(placeOf(node))?.type}
        </p>
      ) : null}
      {trouble?.node === node.id ? (
        <p className="wrong">
          ⚠ {trouble.words}: {count(trouble.count)} of its numbers.
        </p>
      ) : null}
      {graph.document.failed === node.id ? <p className="wrong">✕ This operation raised an error.</p> : null}
      {formula ? <p className="formula">{formula}</p> : null}
      {formula === null ? <p className="quiet">No formula of one line.</p> : null}
      {node.source?.code || node.source?.file ? (
        <figure className="source">
          <figcaption className="quiet">
            {node.source.file}
            {node.source.line ? `, line ${node.source.line}` : ""}
          </figcaption>
          {node.source.code ? <code>{node.source.code}</code> : null}
        </figure>
      ) : null}
      <Values graph={graph} label="Output" ids={node.outputs} shown={shown} show={show} />
      <Values graph={graph} label="Inputs" ids={[...new Set(node.inputs)]} shown={shown} show={show} />
      <dl className="facts">
        {attrs.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd>
          </div>
        ))}
        {node.seconds ? <Time seconds={node.seconds} /> : null}
      </dl>
    </>
  );
}

interface ModuleProps {
  graph: Graph;
  module: Module;
  shown: string | null;
  open: ReadonlySet<string>;
  show(id: string): void;
  toggle(path: string): void;
}

function ModuleDetails({ graph, module, show, shown, open, toggle }: ModuleProps) {
  const seconds = module.all.reduce((sum, node) => sum + (node.seconds ?? 0), 0);
  const memory = module.all.reduce(
    (sum, node) => sum + node.outputs.reduce((own, id) => own + (graph.values.get(id)?.bytes ?? 0), 0),
    0,
  );
  const { fold } = module;
  return (
    <>
      <div className="chosen">
        {fold ? `${fold.type} × ${fold.times}` : module.type || module.name}
        {module.extra ? <span className="extra">({module.extra})</span> : null}
      </div>
      <p className="quiet">
        {module.path}{" "}
        <button type="button" className="link" onClick={() => toggle(module.key)}>
          {open.has(module.key) ? "Collapse" : "Expand"}
        </button>
      </p>
      {fold ? <p className="quiet">{fold.times} blocks of one structure, one after the other.</p> : null}
      <Values graph={graph} label="Output" ids={graph.outputsOf(module)} shown={shown} show={show} />
      <Values graph={graph} label="Input" ids={graph.inputsOf(module)} shown={shown} show={show} />
      <Values
        graph={graph}
        label="Parameters"
        ids={graph.held(module).map((value) => value.id)}
        shown={shown}
        show={show}
      />
      <dl className="facts">
        {module.parameters ? <Fact name="parameters" value={count(module.parameters)} /> : null}
        <Fact name="operations" value={count(module.all.length)} />
        {memory ? <Fact name="memory of its tensors" value={bytes(memory)} /> : null}
        {seconds ? <Time seconds={seconds} /> : null}
      </dl>
    </>
  );
}

const Fact = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

const Time = ({ seconds }: { seconds: number }) => <Fact name="time" value={time(seconds)} />;

/** What scrolls must be reachable by keyboard, also inside HTML that was not made here. */
function reachScrolling(host: HTMLElement | null): void {
  for (const element of host?.querySelectorAll<HTMLElement>("*") ?? []) {
    const scrolls = /auto|scroll/.test(getComputedStyle(element).overflow);
    if (scrolls && !element.hasAttribute("tabindex")) {
      element.tabIndex = 0;
      element.role = "group";
      element.ariaLabel = "Numbers";
    }
  }
}

interface TensorProps extends DetailsProps {
  id: string;
  value: GraphValue;
  which: Which;
  setWhich(which: Which): void;
}

function TensorView(props: TensorProps) {
  const { graph, kernel, id, value, which, setWhich, trace, setTrace, effect, gradients } = props;
  const changed = effect.relative?.[id] !== undefined;
  const waiting = which === "gradient" && gradients.values === undefined;
  const { answer, late } = useTensor(kernel, waiting ? null : id, which === "changed" ? "value" : which);
  const after = useTensor(kernel, changed && which !== "gradient" ? id : null, "changed");
  const traced = trace.at(-1) ?? null;
  // The tensor's own display says all of them already.
  const facts = answer?.html ? [] : Object.entries(answer?.statistics ?? {});
  const hasNumbers = Boolean(answer?.html) && which !== "gradient";
  const known = graph.values.get(id)!;
  return (
    <section className="tensor" aria-label="Tensor" data-value={id} data-which={which} data-ready={answer !== null}>
      <div className="subtitle">
        {value.name || graph.producer.get(id)?.op || "Tensor"}{" "}
        <span className="shape-text">{`${shapeText(value.shape)} ${value.dtype}`}</span>
        {value.bytes && answer && !answer.html ? <span className="quiet"> {bytes(value.bytes)}</span> : null}
      </div>
      <div className="switch" role="group" aria-label="Numbers or gradient">
        <button type="button" aria-pressed={which !== "gradient"} onClick={() => setWhich("value")}>
          Value
        </button>
        <button type="button" aria-pressed={which === "gradient"} onClick={() => setWhich("gradient")}>
          Gradient
        </button>
      </div>
      {which === "gradient" && gradients.of ? <p className="quiet">of {gradients.of}</p> : null}
      {which === "gradient" && gradients.error ? <p className="wrong">{gradients.error}</p> : null}
      {changed && which !== "gradient" ? (
        <p className="changed-by">changes by {percent(effect.relative![id]!)} of its size</p>
      ) : null}
      <div className={after.answer?.html ? "html beside" : "html"}>
        {after.answer?.html ? (
          <div>
            <div className="subtitle">as it would be</div>
            <Html text={after.answer.html} />
          </div>
        ) : null}
        {answer?.html ? (
          <div>
            {after.answer?.html ? <div className="subtitle">as it was</div> : null}
            <Html text={answer.html} />
          </div>
        ) : null}
      </div>
      {facts.length ? (
        <dl className="facts">
          {facts.map(([name, fact]) => (
            <Fact key={name} name={name} value={typeof fact === "number" ? number(fact) : String(fact ?? "none")} />
          ))}
        </dl>
      ) : null}
      {answer?.missing ? <p className="quiet">{answer.missing}</p> : null}
      {answer === null && !gradients.error ? (
        <p className="quiet">{waiting ? "Working out the gradients" : late || "Asking the kernel"}</p>
      ) : null}
      {hasNumbers ? (
        <>
          <Picker
            graph={graph}
            kernel={kernel}
            value={id}
            which="value"
            traced={traced}
            pick={(index) => setTrace([{ value: id, index }])}
          />
          {known.dtype.startsWith("float") || known.dtype.startsWith("bfloat") ? (
            <WhatIf graph={graph} value={id} traced={traced} changes={props.changes} setChanges={props.setChanges} />
          ) : null}
        </>
      ) : null}
    </section>
  );
}

/** One number: where it is, how it came about, and what if it were another. */
function Tracing(props: DetailsProps & { id: string; traced: Traced }) {
  const { graph, kernel, id, traced, trace, setTrace } = props;
  const value = graph.values.get(id)!;
  return (
    <section className="tensor" aria-label="Tensor" data-value={id}>
      <div className="trail">
        {trace.length > 1 ? (
          <button type="button" onClick={() => setTrace(trace.slice(0, -1))}>
            ← Back
          </button>
        ) : null}
        <span className="chosen">
          {calledOf(graph, id)} <span className="shape-text">{shapeText(value.shape)}</span>
        </span>
        <button type="button" aria-label="Close the explanation" onClick={() => setTrace([])}>
          ✕
        </button>
      </div>
      <Picker
        graph={graph}
        kernel={kernel}
        value={id}
        which="value"
        small
        traced={traced}
        pick={(index) => setTrace([...trace.slice(0, -1), { value: id, index }])}
      />
      <Explained graph={graph} kernel={kernel} trace={trace} setTrace={setTrace} />
      {value.dtype.includes("float") ? (
        <WhatIf graph={graph} value={id} traced={traced} changes={props.changes} setChanges={props.setChanges} />
      ) : null}
    </section>
  );
}

const percent = (share: number): string =>
  share >= 1e6
    ? "more than a million times"
    : share >= 10
      ? `${number(share, 3)} times`
      : `${number(share * 100, 3)} %`;

// The kernel made this from a tensor, with every text in it escaped.
// biome-ignore lint/security/noDangerouslySetInnerHtml: see above
const Html = ({ text }: { text: string }) => <div ref={reachScrolling} dangerouslySetInnerHTML={{ __html: text }} />;
