import * as React from 'react';

import { formatNumber } from '../format/numbers';
import { extent, type IPoint, linePath, ticks } from './chart-scale';
import { useWidth } from './hooks';

const HEIGHT = 150;
const MARGIN = { top: 10, right: 30, bottom: 22, left: 46 };

/** A small line chart. */
export function LineChart({
  title,
  value,
  points,
  labelOf,
  summary,
  reference,
  tones,
  even = false
}: {
  title: string;
  /** Text beside the title. */
  value?: React.ReactNode;
  points: IPoint[];
  /** Label of an x value. */
  labelOf: (x: number) => string;
  /** Description for screen readers. */
  summary: string;
  /** A horizontal line to compare with. */
  reference?: { value: number; label: string };
  /** Colours of the points. */
  tones?: ('bad' | null)[];
  /** Whether x is a continuous number; the labels are then round numbers. */
  even?: boolean;
}): React.ReactElement {
  const [width, ref] = useWidth(320);
  const [near, setNear] = React.useState<number | null>(null);

  const yTicks = ticks(...extent([...points.map(point => point.y), reference?.value ?? null]), 3);
  const [low, high] = [yTicks[0], yTicks[yTicks.length - 1]];
  const [left, right] = extent(points.map(point => point.x));
  const inner = {
    width: width - MARGIN.left - MARGIN.right,
    height: HEIGHT - MARGIN.top - MARGIN.bottom
  };
  const xOf = (x: number): number => MARGIN.left + ((x - left) / (right - left)) * inner.width;
  const yOf = (y: number): number => MARGIN.top + (1 - (y - low) / (high - low)) * inner.height;
  const places = points.map(point =>
    point.y === null ? null : ([xOf(point.x), yOf(point.y)] as const)
  );

  const follow = (event: React.PointerEvent<SVGSVGElement>): void => {
    const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
    let best: number | null = null;
    places.forEach((place, index) => {
      const other = best === null ? null : places[best];
      if (place && (!other || Math.abs(place[0] - x) < Math.abs(other[0] - x))) {
        best = index;
      }
    });
    setNear(best);
  };
  const marked = near === null ? null : places[near];
  const few = points.length <= 24;

  return (
    <figure className="mw-chart" ref={ref}>
      <figcaption>
        <span className="mw-chart-title" title={title}>
          {title}
        </span>
        <span className="mw-chart-value mw-number">
          {near !== null && points[near]
            ? `${labelOf(points[near].x)}: ${formatNumber(points[near].y)}`
            : value}
        </span>
      </figcaption>
      <svg
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={summary}
        onPointerMove={follow}
        onPointerLeave={() => setNear(null)}
      >
        {yTicks.map(tick => (
          <g key={tick}>
            <line
              className="mw-chart-grid"
              x1={MARGIN.left}
              x2={width - MARGIN.right}
              y1={yOf(tick)}
              y2={yOf(tick)}
            />
            <text
              className="mw-chart-label"
              x={MARGIN.left - 8}
              y={yOf(tick)}
              textAnchor="end"
              dy="0.32em"
            >
              {formatNumber(tick)}
            </text>
          </g>
        ))}
        {axisPlaces(points, inner.width, even).map(x => (
          <text key={x} className="mw-chart-label" x={xOf(x)} y={HEIGHT - 6} textAnchor="middle">
            {labelOf(x)}
          </text>
        ))}
        {reference && (
          <g>
            <line
              className="mw-chart-reference"
              x1={MARGIN.left}
              x2={width - MARGIN.right}
              y1={yOf(reference.value)}
              y2={yOf(reference.value)}
            />
            <text
              className="mw-chart-label"
              x={width - MARGIN.right}
              y={yOf(reference.value) - 4}
              textAnchor="end"
            >
              {reference.label}
            </text>
          </g>
        )}
        {marked && (
          <line
            className="mw-chart-cursor"
            x1={marked[0]}
            x2={marked[0]}
            y1={MARGIN.top}
            y2={HEIGHT - MARGIN.bottom}
          />
        )}
        <path className="mw-chart-line" d={linePath(places)} />
        {places.map((place, index) =>
          place && (few || index === near) ? (
            <circle
              key={index}
              className={`mw-chart-point${tones?.[index] === 'bad' ? ' mw-chart-point-bad' : ''}`}
              cx={place[0]}
              cy={place[1]}
              r={index === near ? 4 : 3}
            />
          ) : null
        )}
      </svg>
    </figure>
  );
}

/** X values that get a label; as many as fit into the width. */
function axisPlaces(points: IPoint[], width: number, even: boolean): number[] {
  const room = Math.max(1, Math.floor(width / 64));
  if (even && points.length > room) {
    const [left, right] = extent(points.map(point => point.x));
    return ticks(left, right, room).filter(x => x >= left && x <= right);
  }
  const stride = Math.max(1, Math.ceil(points.length / room));
  return points.filter((_, index) => index % stride === 0).map(({ x }) => x);
}
