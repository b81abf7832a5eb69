import { defineConfig } from "vitest/config";

export default defineConfig({
  // view.tsx before the view.js that was built from it
  resolve: { extensions: [".tsx", ".ts", ".mjs", ".js", ".json"] },
  test: { environment: "happy-dom", include: ["shared/**/*.test.{ts,tsx}", "mlkit_widgets/**/*.test.tsx"], css: true },
});
