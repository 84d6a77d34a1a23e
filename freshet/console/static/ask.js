// Asks the console's own process, with a token where it wants one.

const TOKEN = "freshet-token";
// Longer than the console itself waits for a server. Twice as long: an answer that never
// comes is noticed twice as late.
const LONGEST_MS = 8000;

export class Problem extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

export function keepToken(text) {
  sessionStorage.setItem(TOKEN, text);
}

export async function ask(path, parameters = {}, signal = null) {
  const token = sessionStorage.getItem(TOKEN);
  const query = new URLSearchParams(parameters).toString();
  const late = AbortSignal.timeout(LONGEST_MS);
  let answer;
  try {
    answer = await fetch(`/api/${path}${query && "?" + query}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: signal === null ? late : AbortSignal.any([late, signal]),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const why = late.aborted ? `within ${LONGEST_MS / 1000} s` : "any more";
    throw new Problem(`the console's process does not answer ${why}`, 0);
  }
  let found;
  try {
    found = await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(`the console answered ${answer.status} and no JSON`, answer.status);
  }
  if (!answer.ok) throw new Problem(found.problem ?? `status ${answer.status}`, answer.status);
  return found;
}
