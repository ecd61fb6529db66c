import { useEffect, useState } from 'preact/hooks';
import type { ChangeAnswer, Expected, Pair, RangeAnswer } from '../../api.js';
import { announce } from '../announce.js';
import {
  decodeCut,
  decodeText,
  encodeText,
  type Form,
  formsOf,
  fromBase64,
  fromHex,
  hexDump,
  oneLine,
  parseForm,
  pretty,
  toBase64,
  toHex,
} from '../bytes.js';
import { Dialog } from '../dialog.js';
import { formatBytes, formatCount } from '../format.js';
import { useKnown } from '../hooks.js';
import { post, sentence } from '../http.js';
import { getKnown } from '../live.js';
import type { PageProps } from '../page.js';
import { Choice, Copy, Empty, Field } from '../ui.js';

/** A value is shown up to here until all of it is asked for. */
const SHOWN_BYTES = 16 * 1024;
const TITLE_CHARACTERS = 60;

const formNames: Readonly<Record<Form, string>> = { text: 'Text', json: 'JSON', xml: 'XML', hex: 'Hex' };
const CONFLICT =
  'Nothing was changed: somebody else has changed this key since it was read. Their value is shown now; yours is still in the field.';

/** A pair: its value in every form that fits, and a field to change it in. */
export function PairEditor({
  table,
  keyBytes,
  isLocal,
  ask,
  onChanged,
  onClose,
}: {
  readonly table: string;
  readonly keyBytes: Uint8Array;
  readonly isLocal: boolean;
  readonly onChanged: () => void;
  readonly onClose: () => void;
} & Pick<PageProps, 'ask'>) {
  const allows = useKnown((known) => known.node?.allows.changes) ?? false;
  const [pair, setPair] = useState<Pair | null>();
  const [isEditing, setIsEditing] = useState(false);
  const [failure, setFailure] = useState('');
  const title = oneLine(keyBytes, TITLE_CHARACTERS).text;

  const read = async (signal?: AbortSignal): Promise<void> => {
    try {
      const body = { table, key: toBase64(keyBytes), isLocal };
      setPair((await post<RangeAnswer>('/range', body, signal)).pairs[0] ?? null);
    } catch (error) {
      if (signal?.aborted !== true) setFailure(sentence(error));
    }
  };
  useEffect(() => {
    const aborter = new AbortController();
    void read(aborter.signal);
    return () => aborter.abort();
  }, []);

  const changed = async (answer: ChangeAnswer, done: string): Promise<boolean> => {
    if (!answer.isDone) {
      setFailure(CONFLICT);
      await read();
      return false;
    }
    announce(done, 'done');
    onChanged();
    return true;
  };
  const save = async (value: Uint8Array): Promise<void> => {
    setFailure('');
    try {
      const body = {
        table,
        key: toBase64(keyBytes),
        value: toBase64(value),
        expected: expectedOf(pair ?? null),
      };
      if (await changed(await post<ChangeAnswer>('/put', body), 'The pair was stored.')) {
        setIsEditing(false);
        await read();
      }
    } catch (error) {
      setFailure(sentence(error));
    }
  };
  const remove = (): void => {
    ask({
      title: `Delete ${title}`,
      verb: 'Delete',
      isDangerous: true,
      effect: (
        <p>
          This key of table <b>{table}</b> is deleted, if it is still as it was read: version {pair?.version},
          revision {pair?.modRevision}. Otherwise nothing is done.
        </p>
      ),
      run: async () => {
        const body = { table, key: toBase64(keyBytes), expected: expectedOf(pair ?? null) };
        const answer = await post<ChangeAnswer>('/delete', body);
        if (!answer.isDone) {
          await read();
          throw new Error('Nothing was deleted: somebody else has changed this key since it was read.');
        }
        onChanged();
        onClose();
        return 'The key was deleted.';
      },
    });
  };

  const bytes = pair == null ? undefined : fromBase64(pair.value);
  return (
    <Dialog title={title} onClose={onClose} isWide>
      {failure !== '' && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      {pair === undefined && failure === '' && <Empty>Reading…</Empty>}
      {pair === null && <Empty>The key is not there any more.</Empty>}
      {pair != null && bytes !== undefined && (
        <>
          <dl class="facts row">
            <dt>Key</dt>
            <dd>
              {formatBytes(keyBytes.length)}{' '}
              <Copy text={decodeText(keyBytes) ?? toHex(keyBytes)} what="the key" />
            </dd>
            <dt>Value</dt>
            <dd>{formatBytes(pair.valueBytes)}</dd>
            <dt>Version</dt>
            <dd>{formatCount(Number(pair.version))}</dd>
            <dt>Created at</dt>
            <dd>{formatCount(Number(pair.createRevision))}</dd>
            <dt>Revision</dt>
            <dd>{formatCount(Number(pair.modRevision))}</dd>
          </dl>
          {isEditing ? (
            <ValueForm
              key={pair.modRevision}
              first={bytes}
              verb="Store"
              onSave={save}
              onCancel={() => setIsEditing(false)}
            />
          ) : (
            <>
              <ValueView bytes={bytes} />
              <footer>
                <button type="button" onClick={() => download(bytes, title)}>
                  Save as a file
                </button>
                <button type="button" class="danger" disabled={!allows} onClick={remove}>
                  Delete…
                </button>
                <button type="button" class="primary" disabled={!allows} onClick={() => setIsEditing(true)}>
                  Edit
                </button>
              </footer>
            </>
          )}
        </>
      )}
    </Dialog>
  );
}

/** A pair that is to be made, where its key is not there yet. */
export function NewPair({
  table,
  onChanged,
  onClose,
}: {
  readonly table: string;
  readonly onChanged: () => void;
  readonly onClose: () => void;
}) {
  const [key, setKey] = useState('');
  const [form, setForm] = useState<'text' | 'hex'>('text');
  const [failure, setFailure] = useState('');
  const save = async (value: Uint8Array): Promise<void> => {
    setFailure('');
    try {
      const keyBytes = form === 'hex' ? fromHex(key) : encodeText(key);
      const body = { table, key: toBase64(keyBytes), value: toBase64(value), expected: { isAbsent: true } };
      if (!(await post<ChangeAnswer>('/put', body)).isDone) {
        setFailure('Nothing was stored: this key is there already. Open it to change it.');
        return;
      }
      announce('The pair was stored.', 'done');
      onChanged();
      onClose();
    } catch (error) {
      setFailure(sentence(error));
    }
  };
  return (
    <Dialog title={`New pair in ${table}`} onClose={onClose} isWide>
      {failure !== '' && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      <div class="filters">
        <Field label="Key">
          {(id) => (
            <input
              id={id}
              class="mono"
              spellcheck={false}
              autocomplete="off"
              value={key}
              onInput={(event) => setKey(event.currentTarget.value)}
            />
          )}
        </Field>
        <Choice
          label="The key is written as"
          value={form}
          options={[
            { value: 'text', text: 'Text' },
            { value: 'hex', text: 'Hex' },
          ]}
          onChoose={setForm}
        />
      </div>
      <ValueForm first={new Uint8Array()} verb="Store" onSave={save} onCancel={onClose} />
    </Dialog>
  );
}

/** What the key must still be: of a follower cluster its value, since the leader cluster counts revisions of its own. */
function expectedOf(pair: Pair | null): Expected {
  if (pair === null) return { isAbsent: true };
  return getKnown().cluster?.role === 'follower' ? { value: pair.value } : { modRevision: pair.modRevision };
}

function ValueView({ bytes }: { readonly bytes: Uint8Array }) {
  const forms = formsOf(bytes);
  const [form, setForm] = useState(forms[0]!);
  const [showsAll, setShowsAll] = useState(false);
  if (bytes.length === 0) return <Empty>The value is empty.</Empty>;
  const shownForm = forms.includes(form) ? form : forms[0]!;
  const isCut = bytes.length > SHOWN_BYTES && !showsAll;
  const shown = isCut ? bytes.subarray(0, SHOWN_BYTES) : bytes;
  return (
    <div class="value-view">
      <div class="filters">
        <Choice
          label="Shown as"
          value={shownForm}
          options={forms.map((value) => ({ value, text: formNames[value] }))}
          onChoose={setForm}
        />
        <Copy text={decodeText(bytes) ?? toHex(bytes)} what="the value" />
      </div>
      <section aria-label="Value">
        <pre>
          <Text bytes={shown} form={shownForm} isWhole={!isCut} />
        </pre>
      </section>
      {isCut && (
        <p>
          The first {formatBytes(SHOWN_BYTES)} of {formatBytes(bytes.length)} are shown.{' '}
          <button type="button" onClick={() => setShowsAll(true)}>
            Show all
          </button>
        </p>
      )}
    </div>
  );
}

function Text({
  bytes,
  form,
  isWhole,
}: {
  readonly bytes: Uint8Array;
  readonly form: Form;
  readonly isWhole: boolean;
}) {
  if (form === 'hex') return hexDump(bytes);
  const text = (isWhole ? decodeText(bytes) : decodeCut(bytes)) ?? '';
  if (form === 'text') return text;
  const indented = isWhole || form === 'json' ? pretty(text, form) : text;
  return form === 'json' ? <Coloured text={indented} /> : indented;
}

/** JSON with its keys, texts and numbers told apart; long ones are left as they are, since each part is an element. */
function Coloured({ text }: { readonly text: string }) {
  if (text.length > 4 * SHOWN_BYTES) return text;
  const parts = text.split(/("(?:[^"\\]|\\.)*"(?:(?=:))?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*)/g);
  return (
    <>
      {parts.map((part, index) => {
        if (index % 2 === 0) return part;
        const kind = !part.startsWith('"')
          ? 'word'
          : parts[index + 1]?.startsWith(':') === true
            ? 'name'
            : 'string';
        return (
          <span key={index} class={`json-${kind}`}>
            {part}
          </span>
        );
      })}
    </>
  );
}

/** A field for a value, in one of its forms, or from a file. */
function ValueForm({
  first,
  verb,
  onSave,
  onCancel,
}: {
  readonly first: Uint8Array;
  readonly verb: string;
  readonly onSave: (value: Uint8Array) => Promise<void>;
  readonly onCancel: () => void;
}) {
  const forms: readonly Form[] = decodeText(first) === undefined ? ['hex'] : ['text', 'json', 'hex'];
  const best = formsOf(first)[0]!;
  const [form, setForm] = useState<Form>(forms.includes(best) ? best : forms[0]!);
  const [text, setText] = useState(() => writeForm(first, form));
  const [failure, setFailure] = useState('');
  const [isSaving, setIsSaving] = useState(false);
  const attempt = (act: () => void): void => {
    try {
      act();
      setFailure('');
    } catch (error) {
      setFailure((error as Error).message);
    }
  };
  const choose = (next: Form): void =>
    attempt(() => {
      const bytes = parseForm(text, form === 'json' ? 'text' : form);
      if (next !== 'hex' && decodeText(bytes) === undefined) throw new Error('These bytes are no text.');
      setText(writeForm(bytes, next === 'json' && form === 'hex' ? 'json' : next === 'hex' ? 'hex' : 'text'));
      setForm(next);
    });
  return (
    <form
      class="value-form"
      onSubmit={(event) => {
        event.preventDefault();
        attempt(() => {
          const value = parseForm(text, form);
          setIsSaving(true);
          void onSave(value).finally(() => setIsSaving(false));
        });
      }}
    >
      <div class="filters">
        <Choice
          label="The value is written as"
          value={form}
          options={forms.map((value) => ({ value, text: formNames[value] }))}
          onChoose={choose}
        />
        {form === 'json' && (
          <>
            <button
              type="button"
              class="small"
              onClick={() => attempt(() => setText(pretty(checked(text), 'json')))}
            >
              Indent
            </button>
            <button
              type="button"
              class="small"
              onClick={() => attempt(() => setText(minified(checked(text))))}
            >
              Compact
            </button>
          </>
        )}
        <label class="button small">
          From a file
          <input
            type="file"
            class="hidden"
            onChange={(event) => {
              const [file] = event.currentTarget.files ?? [];
              void file?.arrayBuffer().then((content) => {
                const bytes = new Uint8Array(content);
                const fits = decodeText(bytes) === undefined ? 'hex' : 'text';
                setForm(fits);
                setText(writeForm(bytes, fits));
              });
            }}
          />
        </label>
      </div>
      <textarea
        class="mono"
        rows={12}
        aria-label="Value"
        spellcheck={false}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {failure !== '' && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      <footer>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" class="primary" disabled={isSaving}>
          {isSaving ? 'Storing…' : verb}
        </button>
      </footer>
    </form>
  );
}

function writeForm(bytes: Uint8Array, form: Form): string {
  return form === 'hex' ? (toHex(bytes).match(/.{1,2}/g) ?? []).join(' ') : (decodeText(bytes) ?? '');
}

function checked(text: string): string {
  parseForm(text, 'json');
  return text;
}

/** JSON without its blanks, token by token: numbers stay as they are written. */
function minified(text: string): string {
  return text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, (_, string: string | undefined) => string ?? '');
}

function download(bytes: Uint8Array, name: string): void {
  const address = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>]));
  const link = document.createElement('a');
  link.href = address;
  link.download = name.replaceAll(/[^\w.-]+/g, '_').slice(0, 80) || 'value';
  link.click();
  URL.revokeObjectURL(address);
}
