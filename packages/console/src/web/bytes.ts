/** Bytes of keys and values, and the forms in which people read and write them. */

export type Form = 'text' | 'json' | 'xml' | 'hex';

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
/** What no terminal and no text field shows as it is. */
const unprintable = /[\p{Cc}\p{Cs}\p{Co}\p{Cn}]/u;
const ROW_BYTES = 16;
/** Of a character in UTF-8. */
const CHARACTER_BYTES_MAX = 4;

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 0x8000)
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The text that the bytes are; undefined where they are none, or one that cannot be shown. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    const text = strict.decode(bytes);
    return unprintable.test(text.replace(/[\t\n\r]/g, '')) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The text of bytes that were cut somewhere, which may be within a character. */
export function decodeCut(bytes: Uint8Array): string | undefined {
  for (let cut = 0; cut < CHARACTER_BYTES_MAX && cut < bytes.length; cut++) {
    const text = decodeText(bytes.subarray(0, bytes.length - cut));
    if (text !== undefined) return text;
  }
  return undefined;
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Throws where the text is no hex; spaces and line breaks between bytes are left out. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(digits))
    throw new Error('Hex has two digits, 0 to 9 or a to f, for each byte.');
  return Uint8Array.from(digits.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

/** The bytes that somebody wrote in a form. Throws what is wrong with them. */
export function parseForm(text: string, form: Form): Uint8Array {
  if (form === 'hex') return fromHex(text);
  if (form === 'json') {
    try {
      JSON.parse(text);
    } catch (error) {
      throw new Error(`This is no JSON: ${(error as Error).message}.`, { cause: error });
    }
  }
  return encodeText(text);
}

/** The forms in which the bytes can be shown, the best one first. */
export function formsOf(bytes: Uint8Array): Form[] {
  const text = decodeText(bytes);
  if (text === undefined) return ['hex'];
  if (isJson(text)) return ['json', 'text', 'hex'];
  if (isXml(text)) return ['xml', 'text', 'hex'];
  return ['text', 'hex'];
}

function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isXml(text: string): boolean {
  return /^\s*<[?!\w]/.test(text) && parseXml(text) !== undefined;
}

function parseXml(text: string): Document | undefined {
  const parsed = new DOMParser().parseFromString(text, 'text/xml');
  return parsed.querySelector('parsererror') === null ? parsed : undefined;
}

/** JSON or XML with an indentation; numbers of JSON that JavaScript would change are left as they are. */
export function pretty(text: string, form: Form): string {
  if (form === 'json') return indentJson(text);
  const document = form === 'xml' ? parseXml(text) : undefined;
  return document === undefined ? text : indentXml(document, text);
}

/** By its tokens, since reading it into objects would round numbers and drop keys that are there twice. */
function indentJson(text: string): string {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g) ?? [];
  let depth = 0;
  let out = '';
  const line = (): string => `\n${'  '.repeat(depth)}`;
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    if (token === '{' || token === '[') {
      depth += 1;
      out += next === '}' || next === ']' ? token : token + line();
    } else if (token === '}' || token === ']') {
      depth -= 1;
      const before = tokens[index - 1];
      out += before === '{' || before === '[' ? token : line() + token;
    } else if (token === ',') out += token + line();
    else if (token === ':') out += ': ';
    else out += token;
  });
  return out;
}

function indentXml(document: Document, text: string): string {
  const declaration = /^\s*(<\?xml[^>]*\?>)/.exec(text)?.[1];
  const lines: string[] = declaration === undefined ? [] : [declaration];
  const serializer = new XMLSerializer();
  const write = (node: Node, depth: number): void => {
    const indent = '  '.repeat(depth);
    const element = node as Element;
    if (node.nodeType !== Node.ELEMENT_NODE || element.children.length === 0) {
      const own = serializer.serializeToString(node).trim();
      if (own !== '') lines.push(indent + own);
      return;
    }
    const shell = serializer.serializeToString(element.cloneNode(false));
    lines.push(indent + shell.replace(/\s*\/>$/, '>').replace(/<\/[^>]*>$/, ''));
    for (const child of element.childNodes) write(child, depth + 1);
    lines.push(`${indent}</${element.tagName}>`);
  };
  for (const child of document.childNodes) write(child, 0);
  return lines.join('\n');
}

/** A line for each sixteen bytes: their place, the bytes, and those of them that are ASCII. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const row = bytes.subarray(at, at + ROW_BYTES);
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0'));
    const left = hex.slice(0, 8).join(' ').padEnd(23);
    const right = hex.slice(8).join(' ').padEnd(23);
    const ascii = Array.from(row, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·',
    ).join('');
    lines.push(`${at.toString(16).padStart(8, '0')}  ${left}  ${right}  ${ascii}`);
  }
  return lines.join('\n');
}

/** A key or value, or the beginning of one, in one line: its text, or hex, cut to so many characters. */
export function oneLine(
  bytes: Uint8Array,
  charactersMax: number,
  isCut = false,
): { readonly text: string; readonly isHex: boolean } {
  const decoded = isCut ? decodeCut(bytes) : decodeText(bytes);
  const text = decoded === undefined ? toHex(bytes) : decoded.replace(/\s+/g, ' ');
  const characters = [...text];
  const isLong = isCut || characters.length > charactersMax;
  return {
    text: isLong ? `${characters.slice(0, charactersMax).join('')}…` : text,
    isHex: decoded === undefined,
  };
}

/** The end of the range of all keys that begin with `prefix`; a zero byte, which is no bound, where there is none. */
export function endOfPrefix(prefix: Uint8Array): Uint8Array {
  const end = Uint8Array.from(prefix);
  for (let at = end.length - 1; at >= 0; at--) {
    if (end[at]! < 0xff) {
      end[at]! += 1;
      return end.slice(0, at + 1);
    }
  }
  return Uint8Array.of(0);
}

/** The first key after `key`. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
