/** The palette: every block, in groups, with its description; dragged to the canvas or added with Enter. */
import { type KeyboardEvent, memo, useMemo, useRef, useState } from "react";
import type { BlockType } from "./editor";

export const KIND = "application/x-mlkit-block";

/** Whether a block answers to the words: 0 exactly, 1 by name, 2 by what is said of it, null not at all. */
export function rank(block: BlockType, words: string): number | null {
  const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
  const joined = parts.join("").replaceAll("_", "");
  const name = block.name.toLowerCase().replaceAll("_", "");
  if (name.includes(joined)) return name === joined ? 0 : 1;
  const text = `${name} ${block.group} ${block.doc}`.toLowerCase();
  return parts.every((part) => text.includes(part)) ? 2 : null;
}

export const search = (blocks: BlockType[], words: string): BlockType[] =>
  words.trim()
    ? blocks
        .map((block) => [rank(block, words), block] as const)
        .filter(([at]) => at !== null)
        .sort(([a], [b]) => a! - b!)
        .map(([, block]) => block)
    : blocks;

interface Props {
  types: Map<string, BlockType>;
  /** Say how a class of the user's becomes a block. */
  own?: boolean;
  add(type: string): void;
}

export const Palette = memo(function Palette({ types, own, add }: Props) {
  const [words, setWords] = useState("");
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const list = useRef<HTMLDivElement>(null);
  const groups = useMemo(() => {
    const found = search([...types.values()], words);
    if (words.trim()) return [["Found", found] as const];
    const made = new Map<string, BlockType[]>();
    for (const block of found) made.set(block.group, [...(made.get(block.group) ?? []), block]);
    return [...made];
  }, [types, words]);

  const move = (event: KeyboardEvent, by: number) => {
    const items = [...list.current!.querySelectorAll<HTMLElement>("button")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    event.preventDefault();
    if (at + by < 0) list.current!.parentElement!.querySelector("input")!.focus();
    else items[Math.min(items.length - 1, at + by)]?.focus();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") move(event, 1);
    else if (event.key === "ArrowUp") move(event, -1);
    else if (event.key === "Escape") setWords("");
    else if (event.key === "Enter" && event.target instanceof HTMLInputElement) {
      event.preventDefault();
      const first = groups[0]?.[1][0];
      if (words.trim() && first) add(first.name);
    }
  };
  return (
    <div className="palette" role="region" aria-label="Palette" onKeyDown={onKey}>
      <input
        type="search"
        placeholder="Search blocks"
        aria-label="Search blocks"
        value={words}
        onChange={(event) => setWords(event.target.value)}
      />
      <div className="entries" ref={list}>
        {groups.map(([name, blocks]) => (
          <section key={name} aria-label={name}>
            <button
              type="button"
              className="group"
              aria-expanded={!closed.has(name)}
              onClick={() => {
                const next = new Set(closed);
                if (!next.delete(name)) next.add(name);
                setClosed(next);
              }}
            >
              {name}
              <span className="quiet">{blocks.length}</span>
            </button>
            {closed.has(name)
              ? null
              : blocks.map((block) => (
                  <button
                    type="button"
                    key={block.name}
                    className="entry"
                    data-kind={block.kind}
                    draggable
                    title={block.doc}
                    aria-label={block.name}
                    onDragStart={(event) => {
                      event.dataTransfer.setData(KIND, block.name);
                      event.dataTransfer.setData("text/plain", block.code || block.name);
                      event.dataTransfer.effectAllowed = "copy";
                    }}
                    onClick={() => add(block.name)}
                  >
                    <b>{block.name}</b>
                    <small>{block.doc}</small>
                  </button>
                ))}
          </section>
        ))}
        {groups[0]?.[1].length === 0 ? <p className="quiet">No block answers to “{words}”.</p> : null}
        {own && (!words.trim() || groups[0]?.[1].length === 0) ? (
          <p className="quiet yours">
            Your own layers are blocks too: run a cell with a <code>class MyLayer(nn.Module)</code>, and it stands here
            under “Yours”.
          </p>
        ) : null}
      </div>
    </div>
  );
});
