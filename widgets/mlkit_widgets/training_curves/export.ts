/** What is shown, as a file: the kernel draws and writes, the page saves. */
import type { Model } from "../../shared/model";
import type { Board } from "./board";

/** Drawing and writing take longer than a command does, on a busy machine. */
const PATIENCE = 30_000;

export type Format = "png" | "svg" | "csv";

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The SVG as dots, twice as many each way as it has units. */
async function raster(svg: string): Promise<Blob> {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Error("The browser could not read the drawing."));
      image.src = address;
    });
    const canvas = document.createElement("canvas");
    canvas.width = 2 * image.naturalWidth;
    canvas.height = 2 * image.naturalHeight;
    canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!blob) throw new Error("The browser could not make a PNG.");
    return blob;
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** Save a file; gives what there is to say about it. */
export async function exportAs(
  format: Format,
  board: Board,
  model: Model,
  theme: string,
  say: (words: string) => void,
): Promise<void> {
  const [first] = board.runs;
  const name = `${board.runs.length === 1 && first ? first.title : "training-curves"}.${format}`;
  if (format === "csv") {
    const texts: string[] = [];
    for (let part = 0, parts = 1; part < parts; part++) {
      const reply = await board.ask({ kind: "export", format, part }, PATIENCE);
      if (!reply.ok) throw new Error(reply.error);
      texts.push(String(reply.text));
      parts = Number(reply.parts);
      if (parts > 4) say(`Writing the table: ${Math.floor((100 * (part + 1)) / parts)} %`);
    }
    save(new Blob(texts, { type: "text/csv" }), name);
    say(`Saved ${name}.`);
    return;
  }
  const reply = await board.ask({ kind: "export", format: "svg", theme }, PATIENCE);
  const svg = reply.ok ? String(reply.text) : String(model.get("_picture") ?? "");
  if (!svg) throw new Error(reply.error);
  save(format === "png" ? await raster(svg) : new Blob([svg], { type: "image/svg+xml" }), name);
  say(
    reply.ok ? `Saved ${name}.` : `Saved ${name}: the last picture that the kernel drew, for it does not answer now.`,
  );
}
