import { useEffect, useState } from 'preact/hooks';
import type { Pair, RangeAnswer } from '../../api.js';
import { encodeText, endOfPrefix, fromBase64, fromHex, keyAfter, oneLine, toBase64 } from '../bytes.js';
import { formatBytes, formatCount } from '../format.js';
import { useKnown } from '../hooks.js';
import { post, sentence } from '../http.js';
import type { PageProps } from '../page.js';
import { addressOf, goTo } from '../router.js';
import { Choice, Empty, Field, Panel } from '../ui.js';
import { NoChanges } from './no-changes.js';
import { NewPair, PairEditor } from './pair-editor.js';

const PAGE_PAIRS = 50;
/** Of each value so much is asked for and shown in the list. */
const PREVIEW_BYTES = 256;
const KEY_CHARACTERS = 80;
const VALUE_CHARACTERS = 120;
/** Both ends of the range of all keys. */
const ZERO = Uint8Array.of(0);

/** Which keys are wanted: as the operator has written it, and as it stands in the address. */
interface Filter {
  readonly mode: 'prefix' | 'range';
  readonly form: 'text' | 'hex';
  /** The prefix, or the first key. */
  readonly from: string;
  /** The end of a range, which is not in it; empty: there is none. */
  readonly to: string;
  readonly isLocal: boolean;
}

/** Where a page of pairs begins, and how many pairs come before it. */
interface Place {
  readonly key: Uint8Array;
  readonly before: number;
}

/** The pairs of a table: filtered, a page at a time, and each of them to be looked at and changed. */
export function DataPage({ route, ask }: PageProps) {
  const tables = useKnown((known) => known.tables);
  const table = route.argument === '' ? (tables[0]?.name ?? '') : route.argument;
  const filter = readFilter(route.parameters);
  return (
    <>
      <h1>Data</h1>
      <FilterForm key={`${table} ${route.parameters}`} table={table} filter={filter} />
      <NoChanges />
      {table === '' ? (
        <Empty>There is no table yet.</Empty>
      ) : (
        <Pairs key={`${table} ${route.parameters}`} table={table} filter={filter} ask={ask} />
      )}
    </>
  );
}

function readFilter(parameters: URLSearchParams): Filter {
  return {
    mode: parameters.get('mode') === 'range' ? 'range' : 'prefix',
    form: parameters.get('form') === 'hex' ? 'hex' : 'text',
    from: parameters.get('from') ?? '',
    to: parameters.get('to') ?? '',
    isLocal: parameters.get('local') === '1',
  };
}

function addressOfFilter(table: string, { mode, form, from, to, isLocal }: Filter): string {
  return addressOf('data', table, {
    mode: mode === 'range' ? mode : '',
    form: form === 'hex' ? form : '',
    from,
    to: mode === 'range' ? to : '',
    local: isLocal ? '1' : '',
  });
}

function FilterForm({ table, filter }: { readonly table: string; readonly filter: Filter }) {
  const tables = useKnown((known) => known.tables);
  const [draft, setDraft] = useState(filter);
  const change = (part: Partial<Filter>): void => setDraft({ ...draft, ...part });
  const hint = draft.form === 'hex' ? 'Two digits for each byte' : undefined;
  return (
    <form
      class="filters"
      onSubmit={(event) => {
        event.preventDefault();
        goTo(addressOfFilter(table, draft));
      }}
    >
      <Field label="Table">
        {(id) => (
          <select
            id={id}
            value={table}
            onChange={(event) => goTo(addressOf('data', event.currentTarget.value))}
          >
            {tables.some(({ name }) => name === table) ? null : <option value={table}>{table}</option>}
            {tables.map(({ name }) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Choice
        label="Which keys"
        value={draft.mode}
        options={[
          { value: 'prefix', text: 'Prefix' },
          { value: 'range', text: 'Range' },
        ]}
        onChoose={(mode) => change({ mode })}
      />
      <Choice
        label="Keys are written as"
        value={draft.form}
        options={[
          { value: 'text', text: 'Text' },
          { value: 'hex', text: 'Hex' },
        ]}
        onChoose={(form) => change({ form })}
      />
      <Field label={draft.mode === 'prefix' ? 'Keys begin with' : 'From'}>
        {(id) => (
          <input
            id={id}
            class="mono"
            spellcheck={false}
            autocomplete="off"
            placeholder={hint ?? 'every key'}
            value={draft.from}
            onInput={(event) => change({ from: event.currentTarget.value })}
          />
        )}
      </Field>
      {draft.mode === 'range' && (
        <Field label="Up to, not with">
          {(id) => (
            <input
              id={id}
              class="mono"
              spellcheck={false}
              autocomplete="off"
              placeholder={hint ?? 'the last key'}
              value={draft.to}
              onInput={(event) => change({ to: event.currentTarget.value })}
            />
          )}
        </Field>
      )}
      <label class="check" title="It may be older than the cluster's, and can be read without a leader.">
        <input
          type="checkbox"
          checked={draft.isLocal}
          onChange={(event) => change({ isLocal: event.currentTarget.checked })}
        />
        This node’s copy
      </label>
      <button type="submit" class="primary">
        Show
      </button>
    </form>
  );
}

/** The range that a filter asks for. Throws where hex is none. */
function rangeOf({ mode, form, from, to }: Filter): {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
} {
  const read = (text: string): Uint8Array => (form === 'hex' ? fromHex(text) : encodeText(text));
  const first = read(from);
  const key = first.length === 0 ? ZERO : first;
  if (mode === 'prefix') return { key, rangeEnd: first.length === 0 ? ZERO : endOfPrefix(first) };
  const end = read(to);
  return { key, rangeEnd: end.length === 0 ? ZERO : end };
}

function Pairs({
  table,
  filter,
  ask,
}: { readonly table: string; readonly filter: Filter } & Pick<PageProps, 'ask'>) {
  const node = useKnown((known) => known.node)!;
  const [places, setPlaces] = useState<readonly Place[]>([]);
  const [answer, setAnswer] = useState<RangeAnswer>();
  const [total, setTotal] = useState<number>();
  const [failure, setFailure] = useState('');
  const [isReading, setIsReading] = useState(true);
  const [round, setRound] = useState(0);
  const [open, setOpen] = useState<Uint8Array>();
  const [isAdding, setIsAdding] = useState(false);
  const place = places.at(-1);

  useEffect(() => {
    const aborter = new AbortController();
    void read(aborter.signal);
    return () => aborter.abort();
  }, [places, round]);

  async function read(signal: AbortSignal): Promise<void> {
    setIsReading(true);
    setFailure('');
    try {
      const { key, rangeEnd } = rangeOf(filter);
      const asked = { table, rangeEnd: toBase64(rangeEnd), isLocal: filter.isLocal };
      const page = await post<RangeAnswer>(
        '/range',
        { ...asked, key: toBase64(place?.key ?? key), limit: PAGE_PAIRS, valueBytesMax: PREVIEW_BYTES },
        signal,
      );
      setAnswer(page);
      setIsReading(false);
      const counted = await post<RangeAnswer>(
        '/range',
        { ...asked, key: toBase64(key), isCountOnly: true },
        signal,
      );
      setTotal(counted.count);
    } catch (error) {
      if (signal.aborted) return;
      setFailure(sentence(error));
      setIsReading(false);
    }
  }

  const before = place?.before ?? 0;
  const pairs = answer?.pairs ?? [];
  const last = pairs.at(-1);
  const again = (): void => setRound(round + 1);
  return (
    <>
      {failure !== '' && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      <Panel
        title={titleOf(pairs.length, before, total)}
        isFlush
        actions={
          <>
            <button type="button" onClick={again} disabled={isReading}>
              Read again
            </button>
            <button type="button" onClick={() => setIsAdding(true)} disabled={!node.allows.changes}>
              New pair…
            </button>
          </>
        }
      >
        {pairs.length === 0 ? (
          <Empty>
            {isReading ? 'Reading…' : failure === '' ? 'No key is like this.' : 'Nothing was read.'}
          </Empty>
        ) : (
          <PairTable pairs={pairs} onOpen={setOpen} />
        )}
        <nav class="pager" aria-label="Pages of keys">
          <button
            type="button"
            disabled={places.length === 0 || isReading}
            onClick={() => setPlaces(places.slice(0, -1))}
          >
            Previous
          </button>
          <button
            type="button"
            disabled={answer?.hasMore !== true || isReading || last === undefined}
            onClick={() =>
              setPlaces([...places, { key: keyAfter(fromBase64(last!.key)), before: before + pairs.length }])
            }
          >
            Next
          </button>
        </nav>
      </Panel>
      {open !== undefined && (
        <PairEditor
          table={table}
          keyBytes={open}
          isLocal={filter.isLocal}
          ask={ask}
          onChanged={again}
          onClose={() => setOpen(undefined)}
        />
      )}
      {isAdding && <NewPair table={table} onChanged={again} onClose={() => setIsAdding(false)} />}
    </>
  );
}

function titleOf(shown: number, before: number, total: number | undefined): string {
  const of = total === undefined ? '' : ` of ${formatCount(total)}`;
  if (shown === 0) return total === undefined ? 'Keys' : `${formatCount(total)} keys`;
  return `Keys ${formatCount(before + 1)}–${formatCount(before + shown)}${of}`;
}

function PairTable({
  pairs,
  onOpen,
}: {
  readonly pairs: readonly Pair[];
  readonly onOpen: (key: Uint8Array) => void;
}) {
  return (
    <div class="scroll">
      <table aria-label="Keys and values" class="pairs">
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">Value</th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col" class="number minor">
              Version
            </th>
            <th scope="col" class="number minor">
              Revision
            </th>
          </tr>
        </thead>
        <tbody>
          {pairs.map((pair) => {
            const key = fromBase64(pair.key);
            return (
              <tr key={pair.key}>
                <th scope="row">
                  <button type="button" class="link mono" onClick={() => onOpen(key)}>
                    <Line bytes={key} charactersMax={KEY_CHARACTERS} />
                  </button>
                </th>
                <td class="mono value">
                  <Line
                    bytes={fromBase64(pair.value)}
                    charactersMax={VALUE_CHARACTERS}
                    isCut={pair.valueBytes > PREVIEW_BYTES}
                  />
                </td>
                <td class="number">{formatBytes(pair.valueBytes)}</td>
                <td class="number minor">{formatCount(Number(pair.version))}</td>
                <td class="number minor">{formatCount(Number(pair.modRevision))}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** Bytes in one line, with a mark where they are hex. */
export function Line({
  bytes,
  charactersMax,
  isCut = false,
}: {
  readonly bytes: Uint8Array;
  readonly charactersMax: number;
  /** They are the beginning of more. */
  readonly isCut?: boolean;
}) {
  if (bytes.length === 0) return <span class="tag">empty</span>;
  const { text, isHex } = oneLine(bytes, charactersMax, isCut);
  return (
    <>
      {isHex && <span class="tag">hex</span>}
      {text}
    </>
  );
}
