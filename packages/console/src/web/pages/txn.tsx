import { useId, useState } from 'preact/hooks';
import type { CompareBody, OperationAnswer, OperationBody, TxnAnswer, TxnBody } from '../../api.js';
import { encodeText, fromBase64, fromHex, toBase64 } from '../bytes.js';
import { counted } from '../format.js';
import { useKnown } from '../hooks.js';
import { post, sentence } from '../http.js';
import type { PageProps } from '../page.js';
import { Choice, Empty, Field, Panel, State } from '../ui.js';
import { Line } from './data.js';
import { NoChanges } from './no-changes.js';

type Kind = 'put' | 'delete' | 'range';

interface CompareDraft {
  readonly id: number;
  readonly key: string;
  readonly target: CompareBody['target'];
  readonly result: CompareBody['result'];
  readonly operand: string;
}

interface OperationDraft {
  readonly id: number;
  readonly kind: Kind;
  readonly key: string;
  readonly end: string;
  readonly value: string;
}

type Branch = 'success' | 'failure';

const RANGE_LIMIT = 100;
const SHOWN_CHARACTERS = 120;
const targets: readonly { readonly target: CompareBody['target']; readonly text: string }[] = [
  { target: 'exists', text: 'exists' },
  { target: 'value', text: 'value' },
  { target: 'version', text: 'version' },
  { target: 'create', text: 'create revision' },
  { target: 'mod', text: 'revision' },
];
const results: readonly { readonly result: CompareBody['result']; readonly text: string }[] = [
  { result: 'equal', text: '=' },
  { result: 'notEqual', text: '≠' },
  { result: 'greater', text: '>' },
  { result: 'less', text: '<' },
];
let lastId = 0;

/** Compares, and operations that are done together when all of them hold, or others when one does not. */
export function TxnPage({ route, ask }: PageProps) {
  const tables = useKnown((known) => known.tables);
  const allows = useKnown((known) => known.node?.allows.changes) ?? false;
  const [table, setTable] = useState(route.argument);
  const [form, setForm] = useState<'text' | 'hex'>('text');
  const [compares, setCompares] = useState<readonly CompareDraft[]>([]);
  const [branches, setBranches] = useState<Readonly<Record<Branch, readonly OperationDraft[]>>>({
    success: [newOperation('range')],
    failure: [],
  });
  const [answer, setAnswer] = useState<TxnAnswer>();
  const [failure, setFailure] = useState('');
  const chosen = table === '' ? (tables[0]?.name ?? '') : table;
  const isChanging = [...branches.success, ...branches.failure].some(({ kind }) => kind !== 'range');

  const bodyOf = (): TxnBody => {
    const bytes = (text: string): string => toBase64(form === 'hex' ? fromHex(text) : encodeText(text));
    return {
      table: chosen,
      compare: compares.map(({ key, target, result, operand }) => ({
        key: bytes(key),
        target,
        result: target === 'exists' ? 'equal' : result,
        ...(target === 'value'
          ? { operand: bytes(operand) }
          : target !== 'exists' && { operand: operand.trim() }),
      })),
      success: branches.success.map((operation) => toBody(operation, bytes)),
      failure: branches.failure.map((operation) => toBody(operation, bytes)),
    };
  };
  const run = async (): Promise<string> => {
    setFailure('');
    const done = await post<TxnAnswer>('/txn', bodyOf());
    setAnswer(done);
    return done.succeeded
      ? 'The compares held: the first operations were done.'
      : 'A compare did not hold: the other operations were done.';
  };
  const submit = (): void => {
    setFailure('');
    setAnswer(undefined);
    try {
      bodyOf();
    } catch (error) {
      setFailure((error as Error).message);
      return;
    }
    if (!isChanging) {
      run().catch((error: unknown) => setFailure(sentence(error)));
      return;
    }
    ask({
      title: `Run on ${chosen}`,
      verb: 'Run',
      effect: (
        <>
          <p>
            On table <b>{chosen}</b>, as one step that nobody sees half of:
          </p>
          <ul>
            <li>
              {compares.length === 0
                ? 'without a condition'
                : `if ${counted(compares.length, 'compare')} hold`}
            </li>
            <li>do {describe(branches.success)}</li>
            {compares.length > 0 && <li>otherwise do {describe(branches.failure)}</li>}
          </ul>
        </>
      ),
      run,
    });
  };

  return (
    <>
      <h1>Transaction</h1>
      <NoChanges />
      <form
        class="txn"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <div class="filters">
          <Field label="Table">
            {(id) => (
              <select id={id} value={chosen} onChange={(event) => setTable(event.currentTarget.value)}>
                {tables.map(({ name }) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Choice
            label="Keys and values are written as"
            value={form}
            options={[
              { value: 'text', text: 'Text' },
              { value: 'hex', text: 'Hex' },
            ]}
            onChoose={setForm}
          />
        </div>
        <Panel
          title="If all of these hold"
          actions={
            <button type="button" onClick={() => setCompares([...compares, newCompare()])}>
              Add a compare
            </button>
          }
        >
          {compares.length === 0 && <Empty>There is no condition: the first operations are done.</Empty>}
          {compares.map((compare) => (
            <CompareRow
              key={compare.id}
              compare={compare}
              onChange={(next) => setCompares(compares.map((each) => (each.id === next.id ? next : each)))}
              onRemove={() => setCompares(compares.filter(({ id }) => id !== compare.id))}
            />
          ))}
        </Panel>
        {(['success', 'failure'] as const).map((branch) => (
          <Panel
            key={branch}
            title={branch === 'success' ? 'Do' : 'Otherwise do'}
            actions={
              <button
                type="button"
                onClick={() =>
                  setBranches({ ...branches, [branch]: [...branches[branch], newOperation('put')] })
                }
              >
                Add an operation
              </button>
            }
          >
            {branches[branch].length === 0 && <Empty>Nothing.</Empty>}
            {branches[branch].map((operation) => (
              <OperationRow
                key={operation.id}
                operation={operation}
                onChange={(next) =>
                  setBranches({
                    ...branches,
                    [branch]: branches[branch].map((each) => (each.id === next.id ? next : each)),
                  })
                }
                onRemove={() =>
                  setBranches({
                    ...branches,
                    [branch]: branches[branch].filter(({ id }) => id !== operation.id),
                  })
                }
              />
            ))}
          </Panel>
        ))}
        {failure !== '' && (
          <p class="failure" role="alert">
            {failure}
          </p>
        )}
        <p>
          <button type="submit" class="primary" disabled={chosen === '' || (isChanging && !allows)}>
            {isChanging ? 'Run…' : 'Run'}
          </button>
        </p>
      </form>
      {answer !== undefined && <Answer answer={answer} />}
    </>
  );
}

function newCompare(): CompareDraft {
  return { id: ++lastId, key: '', target: 'exists', result: 'equal', operand: '' };
}

function newOperation(kind: Kind): OperationDraft {
  return { id: ++lastId, kind, key: '', end: '', value: '' };
}

function toBody({ kind, key, end, value }: OperationDraft, bytes: (text: string) => string): OperationBody {
  const range = { key: bytes(key), ...(end !== '' && { rangeEnd: bytes(end) }) };
  switch (kind) {
    case 'put':
      return { put: { key: bytes(key), value: bytes(value), prevKv: true } };
    case 'delete':
      return { delete: { ...range, count: true } };
    case 'range':
      return { range: { ...range, limit: RANGE_LIMIT } };
  }
}

function describe(operations: readonly OperationDraft[]): string {
  if (operations.length === 0) return 'nothing';
  return operations
    .map(
      ({ kind, key, end }) => `${kind} ${key === '' ? '(no key)' : key}${end === '' ? '' : ` up to ${end}`}`,
    )
    .join(', ');
}

function CompareRow({
  compare,
  onChange,
  onRemove,
}: {
  readonly compare: CompareDraft;
  readonly onChange: (next: CompareDraft) => void;
  readonly onRemove: () => void;
}) {
  const { key, target, result, operand } = compare;
  return (
    <fieldset class="operation" aria-label="Compare">
      <Input label="Key" value={key} onChange={(next) => onChange({ ...compare, key: next })} />
      <select
        aria-label="What of it"
        value={target}
        onChange={(event) =>
          onChange({ ...compare, target: event.currentTarget.value as CompareDraft['target'] })
        }
      >
        {targets.map((each) => (
          <option key={each.target} value={each.target}>
            {each.text}
          </option>
        ))}
      </select>
      {target !== 'exists' && (
        <>
          <select
            aria-label="How"
            value={result}
            onChange={(event) =>
              onChange({ ...compare, result: event.currentTarget.value as CompareDraft['result'] })
            }
          >
            {results.map((each) => (
              <option key={each.result} value={each.result}>
                {each.text}
              </option>
            ))}
          </select>
          <Input
            label={target === 'value' ? 'Value' : 'Number'}
            value={operand}
            onChange={(next) => onChange({ ...compare, operand: next })}
          />
        </>
      )}
      <Remove onRemove={onRemove} />
    </fieldset>
  );
}

function OperationRow({
  operation,
  onChange,
  onRemove,
}: {
  readonly operation: OperationDraft;
  readonly onChange: (next: OperationDraft) => void;
  readonly onRemove: () => void;
}) {
  const { kind, key, end, value } = operation;
  return (
    <fieldset class="operation" aria-label="Operation">
      <select
        aria-label="Operation"
        value={kind}
        onChange={(event) => onChange({ ...operation, kind: event.currentTarget.value as Kind })}
      >
        <option value="put">put</option>
        <option value="delete">delete</option>
        <option value="range">range</option>
      </select>
      <Input label="Key" value={key} onChange={(next) => onChange({ ...operation, key: next })} />
      {kind === 'put' ? (
        <Input label="Value" value={value} onChange={(next) => onChange({ ...operation, value: next })} />
      ) : (
        <Input
          label="End of the range; empty: this key alone"
          value={end}
          onChange={(next) => onChange({ ...operation, end: next })}
        />
      )}
      <Remove onRemove={onRemove} />
    </fieldset>
  );
}

function Input({
  label,
  value,
  onChange,
}: {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}) {
  const id = useId();
  return (
    <input
      id={id}
      class="mono"
      aria-label={label}
      placeholder={label}
      spellcheck={false}
      autocomplete="off"
      value={value}
      onInput={(event) => onChange(event.currentTarget.value)}
    />
  );
}

function Remove({ onRemove }: { readonly onRemove: () => void }) {
  return (
    <button type="button" class="quiet" aria-label="Remove" onClick={onRemove}>
      ✕
    </button>
  );
}

function Answer({ answer: { succeeded, revision, responses } }: { readonly answer: TxnAnswer }) {
  return (
    <Panel title="Answer" note={`revision ${revision}`}>
      <p role="status">
        {succeeded ? (
          <State tone="good">the compares held</State>
        ) : (
          <State tone="warn">a compare did not hold</State>
        )}
      </p>
      {responses.length === 0 ? (
        <Empty>No operation was to be done.</Empty>
      ) : (
        <ol class="answers">
          {responses.map((response, index) => (
            <li key={index}>
              <Response response={response} />
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

function Response({ response }: { readonly response: OperationAnswer }) {
  if ('delete' in response) return <>Deleted: {response.delete.deleted}.</>;
  if ('put' in response) {
    const before = response.put.prevKv;
    return before === undefined ? (
      <>Stored; the key was not there before.</>
    ) : (
      <>
        Stored; before it was{' '}
        <span class="mono">
          <Line bytes={fromBase64(before.value)} charactersMax={SHOWN_CHARACTERS} />
        </span>
      </>
    );
  }
  const { pairs, hasMore } = response.range;
  if (pairs.length === 0) return <>No key.</>;
  return (
    <>
      {counted(pairs.length, 'key')}
      {hasMore && ' and more'}:
      <dl class="facts mono">
        {pairs.map(({ key, value }) => (
          <>
            <dt>
              <Line bytes={fromBase64(key)} charactersMax={SHOWN_CHARACTERS} />
            </dt>
            <dd>
              <Line bytes={fromBase64(value)} charactersMax={SHOWN_CHARACTERS} />
            </dd>
          </>
        ))}
      </dl>
    </>
  );
}
