import { API_PREFIX, type ApiFailure } from '../api.js';
import { readToken } from './session.js';

/** The node refused a request, or did not answer. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  /** 0: no answer came. */
  readonly status: number;
  readonly code: string;

  constructor(
    message: string,
    { status, code, ...options }: ErrorOptions & { status: number; code: string },
  ) {
    super(message, options);
    this.status = status;
    this.code = code;
  }

  /** A token is wanted, or another one. */
  get isUnauthenticated(): boolean {
    return this.status === 401;
  }
}

/** Sends a request to the API, with the token where there is one. Throws RequestError for every answer that is none. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const token = readToken();
  const headers = { ...init.headers, ...(token !== '' && { Authorization: `Bearer ${token}` }) };
  let response: Response;
  try {
    response = await fetch(`.${API_PREFIX}${path}`, { ...init, headers, cache: 'no-store' });
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new RequestError('The node does not answer.', { status: 0, code: 'noAnswer', cause: error });
  }
  if (!response.ok) throw await toError(response);
  return response;
}

export async function get<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
  const response = await request(path, signal === undefined ? {} : { signal });
  return (await response.json()) as Answer;
}

export async function post<Answer>(path: string, body: object, signal?: AbortSignal): Promise<Answer> {
  const response = await request(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal !== undefined && { signal }),
  });
  return (await response.json()) as Answer;
}

/** The words of an error for people, as a sentence. */
export function sentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

async function toError(response: Response): Promise<RequestError> {
  try {
    const { error } = (await response.json()) as ApiFailure;
    return new RequestError(error.message, { status: response.status, code: error.code });
  } catch {
    return new RequestError(`The node answers with ${response.status}.`, {
      status: response.status,
      code: 'unknown',
    });
  }
}
