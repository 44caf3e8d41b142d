/** Starts the page: looks first, then the client, then what is on the screen. */

import { bestStorage, DoranClient } from "../client/index.ts";
import { use } from "./lib/piece.ts";
import { applyLooks } from "./lib/prefs.ts";
import "./parts/app.ts";

applyLooks();
use(new DoranClient({ storage: await bestStorage() }));
document.body.prepend(document.createElement("doran-app"));
