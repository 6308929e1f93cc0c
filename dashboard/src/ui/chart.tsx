/** Lines over time, with what happened at those times marked on the axis. */

import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { dateTime } from "../format";
import { colours } from "../theme";

export interface Series {
  label: string;
  /** The name of a colour: `--series-1`. */
  colour: string;
  /** As many as there are times; null where nothing is known. */
  values: readonly (number | null)[];
  fill?: boolean;
}

export interface Mark {
  /** Unix seconds. */
  at: number;
  text: string;
  tone: "accent" | "bad" | "warn";
}

interface ChartProps {
  title: string;
  /** Unix seconds, growing. */
  times: readonly number[];
  series: readonly Series[];
  marks: readonly Mark[];
  format: (value: number | null | undefined) => string;
  from: number;
  to: number;
}

const HEIGHT = 188;
const NEAR_PX = 7;

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [at, setAt] = useState<number | null>(null);
  const [near, setNear] = useState<readonly Mark[]>([]);
  const [left, setLeft] = useState(0);
  const names = props.series.map((series) => series.label).join();

  useEffect(() => {
    const holder = box.current;
    if (!holder) return;
    const point = (chart: uPlot) => {
      setAt(chart.cursor.idx ?? null);
      setNear(marksNear(chart, latest.current.marks));
      setLeft((chart.cursor.left ?? 0) + chart.bbox.left / devicePixelRatio);
    };
    // Colours are read when the chart is made: when they change it is made again.
    const stop = effect(() => {
      void colours.value;
      plot.current?.destroy();
      plot.current = new uPlot(
        options(latest, holder.clientWidth, point),
        aligned(latest.current),
        holder,
      );
    });
    const watcher = new ResizeObserver(() => {
      plot.current?.setSize({ width: holder.clientWidth, height: HEIGHT });
    });
    watcher.observe(holder);
    return () => {
      stop();
      watcher.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names]);

  useEffect(() => {
    plot.current?.setData(aligned(props), false);
    plot.current?.setScale("x", { min: props.from, max: props.to });
  }, [props.times, props.series, props.marks, props.from, props.to]);

  const shown = at ?? lastKnown(props);
  const time = at === null ? null : props.times[at];
  return (
    <figure class="card chart" aria-label={summary(props)}>
      <figcaption class="chart-head">
        <h2>{props.title}</h2>
        <ul class="legend number">
          {props.series.map((series) => (
            <li key={series.label}>
              <i class={`key key${series.colour}`} />
              {props.series.length > 1 && <span class="dim">{series.label}</span>}
              <b>{props.format(shown === null ? null : series.values[shown])}</b>
            </li>
          ))}
        </ul>
      </figcaption>
      <div class="chart-box" ref={box}>
        {time && (
          <p
            class="chart-tip number"
            aria-hidden="true"
            style={{ transform: `translateX(${shift(left, box.current)}px)` }}
          >
            <span class="dim">{dateTime(time * 1000)}</span>
            {near.map((mark) => (
              <span key={mark.text} class={`is-${mark.tone}`}>
                {mark.text}
              </span>
            ))}
          </p>
        )}
      </div>
    </figure>
  );
}

/** Beside the cursor, on the side that has room. */
function shift(left: number, box: HTMLElement | null): number {
  const width = box?.clientWidth ?? 0;
  return left < width / 2 ? left + 12 : left - 12 - (box?.querySelector("p")?.offsetWidth ?? 160);
}

function aligned({ times, series }: ChartProps): uPlot.AlignedData {
  return [times as number[], ...series.map(({ values }) => values as (number | null)[])];
}

function lastKnown({ series }: ChartProps): number | null {
  const values = series[0]?.values ?? [];
  for (let i = values.length - 1; i >= 0; i -= 1) if (values[i] !== null) return i;
  return null;
}

function summary(props: ChartProps): string {
  const at = lastKnown(props);
  const said = props.series.map(
    ({ label, values }) => `${label} ${props.format(at === null ? null : values[at])}`,
  );
  return `${props.title}: ${said.join(", ")}`;
}

function marksNear(chart: uPlot, marks: readonly Mark[]): readonly Mark[] {
  const left = chart.cursor.left ?? -1;
  if (left < 0) return [];
  return marks.filter((mark) => Math.abs(chart.valToPos(mark.at, "x") - left) <= NEAR_PX);
}

/** What a custom property is at this moment, as a canvas takes it. */
function colour(name: string, share = 100): string {
  const probe = document.createElement("i");
  probe.style.color = `color-mix(in srgb, var(${name}) ${share}%, transparent)`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function options(
  latest: { current: ChartProps },
  width: number,
  point: (chart: uPlot) => void,
): uPlot.Options {
  const faint = colour("--text-3");
  const line = colour("--line");
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const tones = {
    accent: colour("--accent"),
    bad: colour("--bad-mark"),
    warn: colour("--warn-mark"),
  };
  const axis = { stroke: faint, font, ticks: { show: false }, border: { show: false } } as const;
  return {
    width,
    height: HEIGHT,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: "overview" },
      drag: { x: false, y: false },
      points: { size: 7, width: 2 },
    },
    scales: {
      x: { time: true, auto: false, range: () => [latest.current.from, latest.current.to] },
      y: { range: (_, __, most) => [0, most > 0 ? most * 1.12 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 76, values: times },
      {
        ...axis,
        grid: { stroke: line, width: 1 },
        size: 58,
        space: 36,
        gap: 6,
        values: (_, values) => values.map((value) => latest.current.format(value)),
      },
    ],
    series: [
      {},
      ...latest.current.series.map(({ label, colour: name, fill }) => ({
        label,
        stroke: colour(name),
        width: 1.75,
        points: { show: false },
        ...(fill && { fill: colour(name, 12) }),
      })),
    ],
    hooks: {
      setCursor: [point],
      draw: [(chart) => drawMarks(chart, latest.current.marks, tones)],
    },
  };
}

function times(_: uPlot, splits: number[], __: number, ___: number, step: number): string[] {
  const short: Intl.DateTimeFormatOptions =
    step >= 86_400
      ? { day: "numeric", month: "short" }
      : { hour: "2-digit", minute: "2-digit", ...(step < 60 && { second: "2-digit" }) };
  return splits.map((at) => new Date(at * 1000).toLocaleString("en-GB", short));
}

function drawMarks(
  chart: uPlot,
  marks: readonly Mark[],
  tones: Record<Mark["tone"], string>,
): void {
  const { ctx, bbox } = chart;
  const scale = devicePixelRatio;
  ctx.save();
  for (const mark of marks) {
    const x = Math.round(chart.valToPos(mark.at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = tones[mark.tone];
    ctx.lineWidth = scale;
    ctx.setLineDash([3 * scale, 3 * scale]);
    ctx.globalAlpha = 0.6;
    ctx.beginPath();
    ctx.moveTo(x + 0.5, bbox.top);
    ctx.lineTo(x + 0.5, bbox.top + bbox.height);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.setLineDash([]);
    ctx.beginPath();
    const size = 4 * scale;
    const y = bbox.top;
    ctx.moveTo(x, y - size);
    ctx.lineTo(x + size, y);
    ctx.lineTo(x, y + size);
    ctx.lineTo(x - size, y);
    ctx.fill();
  }
  ctx.restore();
}
