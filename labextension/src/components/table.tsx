import * as React from 'react';

/** A column of a table. */
export interface IColumn<Row> {
  key: string;
  label: React.ReactNode;
  /** Aligned to the right, with digits of equal width. */
  numeric?: boolean;
  /** Takes the remaining width. */
  grow?: boolean;
  cell: (row: Row) => React.ReactNode;
}

/** A table; the first column holds the row headers. */
export function Table<Row>({
  label,
  columns,
  rows,
  rowKey,
  rowClass
}: {
  label: string;
  columns: IColumn<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  rowClass?: (row: Row) => string;
}): React.ReactElement {
  const classOf = (column: IColumn<Row>): string =>
    `${column.numeric ? 'mw-number' : ''}${column.grow ? ' mw-grow' : ''}`;
  return (
    <div className="mw-table-frame">
      <table className="mw-table" aria-label={label}>
        <thead>
          <tr>
            {columns.map(column => (
              <th key={column.key} scope="col" className={classOf(column)}>
                {column.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(row => (
            <tr key={rowKey(row)} className={rowClass?.(row)}>
              {columns.map((column, index) =>
                index === 0 ? (
                  <th key={column.key} scope="row" className={classOf(column)}>
                    {column.cell(row)}
                  </th>
                ) : (
                  <td key={column.key} className={classOf(column)}>
                    {column.cell(row)}
                  </td>
                )
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Names and values in two columns. */
export function Facts({
  label,
  facts
}: {
  label: string;
  facts: [string, React.ReactNode][];
}): React.ReactElement {
  return (
    <dl className="mw-facts" aria-label={label}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt title={name}>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
