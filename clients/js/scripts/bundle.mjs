// Bundles the verifier into one browser module. Imported, it returns the module; run, it writes it to where it is used.

import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** The places where the module is committed: here, and in the crate whose page has it, whose package has its own files. */
export const BUNDLES = [path("../dist/verifier.min.js"), path("../../../service/page/verifier.js")];

/** Returns the module. */
export async function bundle() {
  const license = readFileSync(path("../node_modules/@noble/curves/LICENSE"), "utf8").trim();
  const { outputFiles } = await build({
    entryPoints: [path("../src/index.ts")],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    banner: {
      js: [
        "/* Made by clients/js: npm run build. trunkline's verifier, MIT OR Apache-2.0.",
        "Contains @noble/curves and @noble/hashes:",
        license,
        "*/",
      ].join("\n\n"),
    },
    write: false,
  });
  return outputFiles[0].text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const module = await bundle();
  for (const file of BUNDLES) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, module);
  }
  console.log(`${module.length} bytes: ${BUNDLES.join(", ")}`);
}
