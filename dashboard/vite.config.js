import { defineConfig } from "vite";

// Where `npm run dev` finds a daemon that runs.
const admin = process.env.ADMIN ?? "http://127.0.0.1:9090";

export default defineConfig({
  base: "./",
  build: {
    outDir: "../veloflux/control/dashboard/built",
    emptyOutDir: true,
    target: "es2022",
    // The first that know light-dark().
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The page's policy lets nothing in that is not a file of its own.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: { proxy: { "/api": { target: admin, ws: true } } },
});
