// A small chart of the last minutes.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { clock, size } from "./ui";

/** Steps between lines of a scale of bytes: what looks round when it is told in KB and MB. */
const BYTES = Array.from({ length: 46 }, (_, bit) => 2 ** bit);

export interface Line {
  label: string;
  /** A custom property of the style sheet. */
  color: string;
  values: (number | null)[];
}

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function Chart(props: {
  title: string;
  times: number[];
  lines: Line[];
  format: (n: number) => string;
  /** Where the scale ends; without it, where the figures do, or at `least`. */
  max?: number | undefined;
  least?: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const { times, lines, format } = props;
  const data: uPlot.AlignedData = [times, ...lines.map((line) => line.values)];
  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      const element = box.current!;
      const axis = { stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
      plot.current = new uPlot(
        {
          width: element.clientWidth,
          height: 120,
          legend: { show: false },
          padding: [8, null, 0, 0],
          cursor: { y: false, points: { size: 5 }, drag: { x: false, y: false }, sync: { key: "now" } },
          scales: { y: { range: (_, _min, max) => [0, props.max ?? Math.max(max * 1.1, props.least ?? 1)] } },
          axes: [
            { ...axis, size: 22, font: "11px system-ui", space: 70, values: (_, ticks) => ticks.map(clock) },
            {
              ...axis,
              size: 58,
              font: "11px system-ui",
              values: (_, ticks) => ticks.map(format),
              space: 28,
              ...(format === size ? { incrs: BYTES } : {}),
            },
          ],
          series: [
            {},
            ...lines.map((line, i) => ({
              label: line.label,
              stroke: css(line.color),
              width: 1.5,
              points: { show: false },
              ...(i === 0 && lines.length === 1 ? { fill: css(line.color) + "22" } : {}),
            })),
          ],
        },
        data,
        element,
      );
    };
    make();
    const observer = new ResizeObserver(() =>
      plot.current?.setSize({ width: box.current!.clientWidth, height: 120 }),
    );
    observer.observe(box.current!);
    window.addEventListener("themechange", make);
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", make);
    return () => {
      observer.disconnect();
      window.removeEventListener("themechange", make);
      system.removeEventListener("change", make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [lines.length]);
  useEffect(() => plot.current?.setData(data), [times, times.length, times[times.length - 1]]);
  const last = (values: (number | null)[]) => values[values.length - 1] ?? null;
  const words = lines.map((line) => {
    const value = last(line.values);
    return `${line.label} ${value === null ? "unknown" : format(value)}`;
  });
  return (
    <figure class="chart" aria-label={`${props.title}: ${words.join(", ")}`}>
      <figcaption>
        <b>{props.title}</b>
        {lines.map((line) => {
          const value = last(line.values);
          return (
            <span key={line.label}>
              <i class={"swatch" + line.color} /> {line.label} <b>{value === null ? "–" : format(value)}</b>
            </span>
          );
        })}
      </figcaption>
      <div ref={box} aria-hidden="true" />
    </figure>
  );
}
