// Verifies access tokens with jose, as a stranger's service would: by our key set and nothing else.
// In: one JSON object {jwks, issuer, audience, tokens} on standard input. Out: one line of JSON per
// token, its subject or the code of the refusal.
import { createRemoteJWKSet, jwtVerify } from "jose";
import { text } from "node:stream/consumers";

const { jwks, issuer, audience, tokens } = JSON.parse(await text(process.stdin));
const keys = createRemoteJWKSet(new URL(jwks), { cooldownDuration: 0 });

for (const token of tokens) {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: "at+jwt", algorithms: ["ES256"] });
    console.log(JSON.stringify({ sub: payload.sub }));
  } catch (error) {
    console.log(JSON.stringify({ code: error.code }));
  }
}
