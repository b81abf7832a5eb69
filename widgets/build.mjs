// Builds each widget folder's view.tsx into one self-contained view.js beside it.
// A notebook imports a widget from a blob: address, so nothing can be loaded relative to it: no chunks, no assets.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const home = path.dirname(fileURLToPath(import.meta.url));
const folder = path.join(home, "mlkit_widgets");
const widgets = readdirSync(folder).filter((name) => existsSync(path.join(folder, name, "view.tsx")));

/** CSS becomes a string: the widget adds it to the page itself. */
const cssAsText = {
  name: "css-as-text",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path: file }) => {
      const { code } = await esbuild.transform(readFileSync(file, "utf8"), { loader: "css", minify: true });
      return { contents: code, loader: "text" };
    });
  },
};

/**
 * React Flow moves the view with d3-zoom, which can also glide there. No view of ours glides, so what glides (transitions,
 * and interpolation of colours, dates and texts) stays out: that is a tenth of what a canvas sends to the page.
 */
const still = {
  name: "still",
  setup(build) {
    build.onResolve({ filter: /^d3-(transition|interpolate)$/ }, ({ path: wanted }) => ({
      path: wanted,
      namespace: "still",
    }));
    build.onLoad({ filter: /.*/, namespace: "still" }, ({ path: wanted }) => ({
      resolveDir: home,
      contents:
        wanted === "d3-transition"
          ? `import { selection } from "d3-selection";
             selection.prototype.interrupt = function () { return this; };
             export const interrupt = () => {};`
          : `export const interpolate = (from, to) => (t) => (t < 1 ? from : to);
             export const interpolateZoom = interpolate;`,
    }));
  },
};

const options = (name) => ({
  absWorkingDir: home,
  entryPoints: [path.join("mlkit_widgets", name, "view.tsx")],
  outfile: path.join("mlkit_widgets", name, "view.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  minify: true,
  legalComments: "eof",
  define: { "process.env.NODE_ENV": '"production"' },
  plugins: [cssAsText, still],
  logLevel: "warning",
});

if (process.argv.includes("--watch")) {
  for (const name of widgets) {
    const context = await esbuild.context({ ...options(name), logLevel: "info" });
    await context.watch();
  }
} else {
  await Promise.all(widgets.map((name) => esbuild.build(options(name))));
  for (const name of widgets) {
    const file = path.join(folder, name, "view.js");
    const zipped = gzipSync(readFileSync(file), { level: 9 }).length;
    console.log(
      `${name}/view.js  ${Math.round(statSync(file).size / 1000)} kB, ${Math.round(zipped / 1000)} kB compressed`,
    );
    if (zipped > 150_000) {
      console.error(`${name}: over 150 kB compressed. Every displayed widget sends this; find out what grew.`);
      process.exitCode = 1;
    }
  }
}
