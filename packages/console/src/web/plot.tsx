import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { SAMPLE_FIELDS, type Sample, type SampleField } from '../api.js';
import { formatClock, NONE } from './format.js';
import { useIsDark } from './hooks.js';

/** One line of a plot. */
export interface Line {
  readonly name: string;
  readonly value: (sample: Sample) => number | null;
}

const HEIGHT = 168;
const WINDOW_SECONDS = 600;
/** Fewer samples than that are not drawn out over the whole width. */
const WINDOW_SECONDS_MIN = 120;
/** Steps of the axis of time, in seconds: its labels are minutes. */
const timeSteps = [60, 120, 300];
/** Steps of an axis of bytes: powers of two. */
const byteSteps = Array.from({ length: 50 }, (_, power) => 2 ** power);
/** Plots of one page have one cursor. */
const sync = uPlot.sync('console');

/** The value of a field of a sample, times a factor. */
export function field(name: SampleField, factor = 1): Line['value'] {
  const at = SAMPLE_FIELDS.indexOf(name);
  return ({ values }) => {
    const value = values[at] ?? null;
    return value === null ? null : value * factor;
  };
}

/**
 * Lines over the last ten minutes, with a table of what they are now, or where the cursor stands. Screen readers read the
 * table.
 */
export function Plot({
  title,
  samples,
  lines,
  format,
  isBytes = false,
}: {
  readonly title: string;
  readonly samples: readonly Sample[];
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
  readonly isBytes?: boolean;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const legend = useRef<HTMLTableElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const dark = useIsDark();
  const names = lines.map(({ name }) => name).join('\n');
  const latest = useRef({ lines, format, samples });
  latest.current = { lines, format, samples };

  useEffect(() => {
    const element = frame.current!;
    const style = getComputedStyle(element);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const fill = (shown: uPlot): void => showLegend(shown, legend.current!, latest.current);
    const axis = {
      stroke: colour('--faint'),
      font: '11px system-ui, sans-serif',
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
    };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: sync.key }, points: { size: 6 }, drag: { x: false, y: false } },
        scales: {
          x: { range: (_, min, max) => windowOf(min ?? 0, max ?? 0) },
          y: { range: (_, __, max) => [0, max === null || max <= 0 ? 1 : max * 1.1] },
        },
        axes: [
          {
            ...axis,
            size: 24,
            incrs: timeSteps,
            values: (_, ticks) => ticks.map((tick) => formatClock(tick * 1000).slice(0, 5)),
          },
          {
            ...axis,
            size: 60,
            ...(isBytes && { incrs: byteSteps }),
            values: (_, ticks) => ticks.map((tick) => latest.current.format(tick)),
          },
        ],
        series: [
          {},
          ...names.split('\n').map((label, index) => ({
            label,
            stroke: colour(`--series-${index + 1}`),
            width: 1.5,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [fill], setData: [fill] },
      },
      dataOf(latest.current.lines, latest.current.samples),
      element,
    );
    plot.current = made;
    fill(made);
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [dark, names]);

  useEffect(() => {
    plot.current?.setData(dataOf(lines, samples));
  }, [samples, lines]);

  return (
    <figure class="plot">
      <div ref={frame} class="canvas" aria-hidden="true" />
      <table ref={legend} class="legend" aria-label={`${title} now`}>
        <tbody>
          {lines.map(({ name }, index) => (
            <tr key={name}>
              <th scope="row">
                <svg class={`key series-${index + 1}`} viewBox="0 0 12 4" aria-hidden="true">
                  <rect width="12" height="4" rx="2" />
                </svg>
                {name}
              </th>
              <td />
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}

function windowOf(min: number, max: number): [number, number] {
  const seconds = Math.min(WINDOW_SECONDS, Math.max(WINDOW_SECONDS_MIN, max - min));
  return [max - seconds, max];
}

/** Fills the legend with the values at the cursor, else with the newest ones. */
function showLegend(
  shown: uPlot,
  legend: HTMLTableElement,
  { format }: { readonly format: (value: number) => string },
): void {
  const at = shown.cursor.idx ?? shown.data[0].length - 1;
  for (const [index, row] of [...legend.rows].entries()) {
    const value = shown.data[index + 1]?.[at] ?? null;
    row.cells[1]!.textContent = value === null ? NONE : format(value);
  }
}

function dataOf(lines: readonly Line[], samples: readonly Sample[]): uPlot.AlignedData {
  const times = samples.map(({ atMs }) => atMs / 1000);
  return [times, ...lines.map(({ value }) => samples.map(value))] as uPlot.AlignedData;
}
