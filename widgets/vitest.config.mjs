import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { environment: "happy-dom", include: ["shared/**/*.test.{ts,tsx}", "mlkit_widgets/**/*.test.tsx"], css: true },
});
