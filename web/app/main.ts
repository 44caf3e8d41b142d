/** Starts the page: looks first, then the client, then what is on the screen. */

import { bestStorage, DoranClient } from "../client/index.ts";
import { hiding } from "./lib/hiding.ts";
import { use } from "./lib/piece.ts";
import { applyLooks } from "./lib/prefs.ts";
import { problemText } from "./words/index.ts";
import "./parts/app.ts";

applyLooks();
const client = new DoranClient({ storage: await bestStorage() });
const app = document.createElement("doran-app");
use(client);
hiding.attend(client, (code) => app.say(problemText(code)));
document.body.prepend(app);
