// Reads JSON lines and answers each with one: what the standard's own library and a
// JavaScript program make of what we post.
//
//   {"secret": ..., "headers": {...}, "body": ...}  -> {"verified": true}, or false
//   {"body": ...}                                   -> {"stable": true}, or false
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const answer = ({ secret, headers, body }) => {
  if (secret === undefined) {
    return { stable: JSON.stringify(JSON.parse(body)) === body };
  }
  try {
    new Webhook(secret).verify(body, headers);
    return { verified: true };
  } catch {
    return { verified: false };
  }
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  console.log(JSON.stringify(answer(JSON.parse(line))));
}
