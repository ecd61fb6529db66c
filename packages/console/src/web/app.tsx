import { useEffect, useRef, useState } from 'preact/hooks';
import { dismiss } from './announce.js';
import { Confirmation, type Deed } from './dialog.js';
import { formatDuration } from './format.js';
import { useKnown, useNotices, useRoute, useSeconds } from './hooks.js';
import { Icon } from './icons.js';
import { Login } from './login.js';
import { ArchivePage } from './pages/archive.js';
import { DataPage } from './pages/data.js';
import { EventsPage } from './pages/events.js';
import { NodePage } from './pages/node.js';
import { OverviewPage } from './pages/overview.js';
import { ReplicationPage } from './pages/replication.js';
import { TablesPage } from './pages/tables.js';
import { TxnPage } from './pages/txn.js';
import { addressOf, consoleOf } from './router.js';
import { chooseTheme, getTheme, type Theme } from './theme.js';
import { State } from './ui.js';

const pages = [
  { page: 'overview', title: 'Overview', Page: OverviewPage },
  { page: 'tables', title: 'Tables', Page: TablesPage },
  { page: 'data', title: 'Data', Page: DataPage },
  { page: 'txn', title: 'Transaction', Page: TxnPage },
  { page: 'replication', title: 'Replication', Page: ReplicationPage },
  { page: 'archive', title: 'Backups', Page: ArchivePage },
  { page: 'events', title: 'Events', Page: EventsPage },
  { page: 'node', title: 'Node', Page: NodePage },
] as const;

/** The whole page: the way to each part of it, the part that is shown, and what is said about changes. */
export function App() {
  const route = useRoute();
  const phase = useKnown(({ connection }) => connection.phase);
  const isKnown = useKnown(({ node }) => node !== undefined);
  const [deed, setDeed] = useState<Deed>();
  const main = useRef<HTMLElement>(null);
  const { page, title, Page } = pages.find((each) => each.page === route.page) ?? pages[0];
  const hasMoved = useRef(false);
  useEffect(() => {
    document.title = `${title} · Coxswain`;
    scrollTo(0, 0);
    // Whoever cannot see that another page is shown hears its heading.
    if (hasMoved.current) main.current?.focus({ preventScroll: true });
    hasMoved.current = true;
  }, [page, title]);
  if (phase === 'refused') return <Login />;
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <header class="bar">
        <a class="brand" href={addressOf('overview')}>
          <Icon name="wheel" />
          Coxswain
        </a>
        <Cluster />
        <ThemeSwitch />
      </header>
      <nav class="pages" aria-label="Pages">
        <div>
          {pages.map((each) => (
            <a
              key={each.page}
              href={addressOf(each.page)}
              aria-current={each.page === page ? 'page' : undefined}
            >
              <Icon name={each.page} />
              {each.title}
            </a>
          ))}
        </div>
      </nav>
      <main id="main" ref={main} tabIndex={-1} aria-label={title}>
        <Lost />
        {isKnown ? <Page route={route} ask={setDeed} /> : <p class="empty">Asking the node…</p>}
      </main>
      <Notices />
      {deed !== undefined && <Confirmation deed={deed} onClose={() => setDeed(undefined)} />}
    </>
  );
}

/** Which cluster is shown, by which node, and whether the page still hears of it. */
function Cluster() {
  const cluster = useKnown((known) => known.cluster);
  const node = useKnown((known) => known.node);
  const phase = useKnown(({ connection }) => connection.phase);
  return (
    <div class="cluster">
      {cluster !== undefined && (
        <span class="name">
          {cluster.name === '' ? `Cluster ${cluster.id.slice(0, 8) || 'forming'}` : cluster.name}
        </span>
      )}
      {node !== undefined && <span class="by">seen by {node.name}</span>}
      {phase === 'open' ? (
        <State tone="good">live</State>
      ) : (
        <State tone={phase === 'lost' ? 'bad' : 'quiet'}>
          {phase === 'lost' ? 'disconnected' : 'connecting'}
        </State>
      )}
    </div>
  );
}

/** Says that what is shown is old, and where else to look. */
function Lost() {
  const connection = useKnown((known) => known.connection);
  if (connection.phase !== 'lost') return null;
  return <LostSince sinceMs={connection.sinceMs} reason={connection.reason} />;
}

function LostSince({ sinceMs, reason }: { readonly sinceMs: number; readonly reason: string }) {
  const nowMs = useSeconds();
  const members = useKnown((known) => known.members);
  const node = useKnown((known) => known.node);
  const others = members.filter(({ isSelf, restAddress }) => !isSelf && restAddress !== '');
  return (
    <div class="callout bad">
      <p>
        <b>No connection to {node?.name ?? 'the node'}</b> for {formatDuration(nowMs - sinceMs)}: what is
        shown is as old as that. {reason} It is tried again each second.
      </p>
      {others.length > 0 && (
        <p>
          Other members of the cluster:{' '}
          {others.map(({ id, name, restAddress }, index) => (
            <>
              {index > 0 && ', '}
              <a key={id} href={consoleOf(restAddress)}>
                {name}
              </a>
            </>
          ))}
        </p>
      )}
    </div>
  );
}

const themes: readonly { readonly theme: Theme; readonly text: string }[] = [
  { theme: 'auto', text: 'System theme' },
  { theme: 'light', text: 'Light' },
  { theme: 'dark', text: 'Dark' },
];

function ThemeSwitch() {
  const [theme, setTheme] = useState(getTheme());
  return (
    <label class="theme">
      <span class="hidden">Colours</span>
      <select
        value={theme}
        onChange={(event) => {
          const chosen = event.currentTarget.value as Theme;
          setTheme(chosen);
          chooseTheme(chosen);
        }}
      >
        {themes.map((each) => (
          <option key={each.theme} value={each.theme}>
            {each.text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What has changed, and what was done: shown for a while, and said by screen readers. */
function Notices() {
  const notices = useNotices();
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.map(({ id, text, kind }) => (
        <p key={id} class={kind}>
          {text}
          <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(id)}>
            ✕
          </button>
        </p>
      ))}
    </div>
  );
}
