import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { formatCount } from './format.js';

/** How something is: each tone has a colour and a shape, so that nobody needs to tell colours apart. */
export type Tone = 'good' | 'warn' | 'bad' | 'quiet' | 'accent';

/** A short word for how something is. */
export function State({ tone, children }: { readonly tone: Tone; readonly children: ComponentChildren }) {
  return <span class={`state ${tone}`}>{children}</span>;
}

/** A part of a page, under a heading. */
export function Panel({
  title,
  note,
  actions,
  children,
  isFlush = false,
}: {
  readonly title: string;
  readonly note?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
  /** Its content reaches to its borders. */
  readonly isFlush?: boolean;
}) {
  const id = useId();
  return (
    <section class={isFlush ? 'panel flush' : 'panel'} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {note !== undefined && <p class="note">{note}</p>}
        {actions !== undefined && <div class="actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

/** A figure with its name below it. */
export function Figure({
  name,
  value,
  unit,
  tone,
}: {
  readonly name: string;
  readonly value: string;
  readonly unit?: string;
  readonly tone?: Tone;
}) {
  return (
    <div class={tone === undefined ? 'figure' : `figure ${tone}`}>
      <dt>{name}</dt>
      <dd>
        {value}
        {unit !== undefined && <span class="unit"> {unit}</span>}
      </dd>
    </div>
  );
}

/** Says that there is nothing, and why, where a table or plot would be. */
export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** Something that an operator should read before anything else. */
export function Callout({ tone, children }: { readonly tone: Tone; readonly children: ComponentChildren }) {
  return (
    <div class={`callout ${tone}`} role={tone === 'bad' ? 'alert' : 'note'}>
      {children}
    </div>
  );
}

export function Field({
  label,
  hint,
  children,
}: {
  readonly label: string;
  readonly hint?: string;
  readonly children: (id: string, hintId: string | undefined) => ComponentChildren;
}) {
  const id = useId();
  const hintId = hint === undefined ? undefined : `${id}-hint`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(id, hintId)}
      {hint !== undefined && (
        <p class="hint" id={hintId}>
          {hint}
        </p>
      )}
    </div>
  );
}

/** One of a few, as buttons side by side. */
export function Choice<Value extends string>({
  label,
  value,
  options,
  onChoose,
}: {
  readonly label: string;
  readonly value: Value;
  readonly options: readonly { readonly value: Value; readonly text: string }[];
  readonly onChoose: (value: Value) => void;
}) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="hidden">{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            checked={option.value === value}
            onChange={() => onChoose(option.value)}
          />
          <span>{option.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** A column of a table of rows. */
export interface Column<Row> {
  readonly name: string;
  readonly show: (row: Row) => ComponentChildren;
  /** Absent: the table cannot be sorted by it. */
  readonly order?: (row: Row) => number | string;
  readonly isNumber?: boolean;
  /** Left out on a phone. */
  readonly isMinor?: boolean;
}

const PAGE_ROWS = 100;

/** A table that is sorted by its headings, and shows a hundred rows at a time. */
export function Rows<Row>({
  label,
  rows,
  columns,
  keyOf,
  sortedBy,
  toneOf,
}: {
  readonly label: string;
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  readonly keyOf: (row: Row) => string | number;
  /** The heading by which it is sorted at first; absent: as the rows come. */
  readonly sortedBy?: string;
  readonly toneOf?: (row: Row) => Tone | undefined;
}) {
  const [sort, setSort] = useState({ name: sortedBy, isDown: false });
  const [page, setPage] = useState(0);
  const order = columns.find(({ name }) => name === sort.name)?.order;
  const sorted = order === undefined ? rows : [...rows].sort((a, b) => compare(order(a), order(b)));
  const ordered = sort.isDown && order !== undefined ? sorted.toReversed() : sorted;
  const pages = Math.max(1, Math.ceil(rows.length / PAGE_ROWS));
  const at = Math.min(page, pages - 1);
  const shown = ordered.slice(at * PAGE_ROWS, (at + 1) * PAGE_ROWS);
  return (
    <>
      <div class="scroll">
        <table aria-label={label}>
          <thead>
            <tr>
              {columns.map((column) => (
                <th
                  key={column.name}
                  scope="col"
                  class={classOf(column)}
                  aria-sort={
                    column.order === undefined
                      ? undefined
                      : column.name === sort.name
                        ? sort.isDown
                          ? 'descending'
                          : 'ascending'
                        : 'none'
                  }
                >
                  {column.order === undefined ? (
                    column.name
                  ) : (
                    <button
                      type="button"
                      class="sort"
                      onClick={() =>
                        setSort({ name: column.name, isDown: column.name === sort.name && !sort.isDown })
                      }
                    >
                      {column.name}
                    </button>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr key={keyOf(row)} class={toneOf?.(row)}>
                {columns.map((column, index) =>
                  index === 0 ? (
                    <th key={column.name} scope="row" class={classOf(column)}>
                      {column.show(row)}
                    </th>
                  ) : (
                    <td key={column.name} class={classOf(column)}>
                      {column.show(row)}
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {pages > 1 && (
        <nav class="pager" aria-label={`Pages of ${label}`}>
          <button type="button" disabled={at === 0} onClick={() => setPage(at - 1)}>
            Previous
          </button>
          <span>
            {formatCount(at * PAGE_ROWS + 1)}–{formatCount(at * PAGE_ROWS + shown.length)} of{' '}
            {formatCount(rows.length)}
          </span>
          <button type="button" disabled={at === pages - 1} onClick={() => setPage(at + 1)}>
            Next
          </button>
        </nav>
      )}
    </>
  );
}

function classOf<Row>({ isNumber = false, isMinor = false }: Column<Row>): string | undefined {
  const classes = [isNumber ? 'number' : '', isMinor ? 'minor' : ''].filter((name) => name !== '');
  return classes.length === 0 ? undefined : classes.join(' ');
}

function compare(a: number | string, b: number | string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The bar of something that fills up. */
export function Meter({
  label,
  share,
  tone,
}: {
  readonly label: string;
  readonly share: number;
  readonly tone: Tone;
}) {
  const percent = Math.min(100, Math.max(0, share * 100));
  return (
    <svg class={`meter ${tone}`} viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label={label}>
      <rect class="rest" width="100" height="4" rx="1" />
      <rect class="used" width={percent} height="4" rx="1" />
    </svg>
  );
}

/** A button that copies a text. */
export function Copy({ text, what }: { readonly text: string; readonly what: string }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), 2_000);
  };
  // Browsers give the clipboard to pages of https and of this machine only.
  if (navigator.clipboard === undefined) return null;
  return (
    <button type="button" class="small" onClick={() => void copy()} aria-label={`Copy ${what}`}>
      {isCopied ? 'Copied' : 'Copy'}
    </button>
  );
}
