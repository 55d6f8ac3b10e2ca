import { defineConfig } from "vite";

// The mode is the season: `vite build --mode spring` builds the first release, `--mode summer` the second.
export default defineConfig(({ mode }) => {
  const season = mode === "spring" ? "spring" : "summer";
  return {
    resolve: { alias: { "#season": new URL(`./src/season/${season}`, import.meta.url).pathname } },
    plugins: [{ name: "season", transformIndexHtml: (html) => html.replaceAll("%SEASON%", season) }],
    build: { assetsInlineLimit: 0, emptyOutDir: true },
  };
});
