// The Ethereum KZG ceremony, as far as a verifier needs it (SPEC.md §2.7).

import { hexToBytes } from "@noble/hashes/utils.js";

/** H of all points of the setup. */
export const SETUP_ID: Uint8Array = hexToBytes("201eccd8ba10d3700d0e32d1b255e11f3a95a8f592326aaa5e6a0a5fe6508870");

/** [τ]₂, compressed. */
export const TAU_G2: Uint8Array = hexToBytes(
  "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d" +
    "2914e5870cb452d2afaaab24f3499f72185cbfee53492714734429b7b38608e2" +
    "3926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2",
);
