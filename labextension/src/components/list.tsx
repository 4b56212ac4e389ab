import * as React from 'react';

/** A list of rows. Arrow keys, Home and End move the focus between them. */
export function List({
  label,
  children
}: {
  label: string;
  children: React.ReactNode;
}): React.ReactElement {
  return (
    // The list handles the key events of the buttons in it.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <ul className="mw-list" aria-label={label} onKeyDown={moveFocus}>
      {children}
    </ul>
  );
}

/** A row of two lines: mark, title and value; then detail and aside. */
export function Row({
  mark,
  title,
  value,
  detail,
  aside,
  hint,
  onOpen,
  children
}: {
  mark: React.ReactNode;
  title: string;
  value?: React.ReactNode;
  detail?: React.ReactNode;
  aside?: React.ReactNode;
  hint: string;
  /** Called with whether the document is to be kept open: with the keyboard, or by a double click. */
  onOpen: (keep: boolean) => void;
  /** Content outside of the button. */
  children?: React.ReactNode;
}): React.ReactElement {
  return (
    <li className="mw-row">
      <button
        type="button"
        className="mw-row-button"
        // A click of the keyboard has no count.
        onClick={event => onOpen(event.detail === 0)}
        onDoubleClick={() => onOpen(true)}
        title={hint}
      >
        <span className="mw-row-mark">{mark}</span>
        <span className="mw-row-title">{title}</span>
        <span className="mw-row-value mw-number">{value}</span>
        <span className="mw-row-detail">{detail}</span>
        <span className="mw-row-aside">{aside}</span>
      </button>
      {children}
    </li>
  );
}

function moveFocus(event: React.KeyboardEvent<HTMLUListElement>): void {
  const buttons = [...event.currentTarget.querySelectorAll<HTMLElement>('.mw-row-button')];
  const present = buttons.indexOf(document.activeElement as HTMLElement);
  if (present === -1) {
    return;
  }
  const target = {
    ArrowDown: present + 1,
    ArrowUp: present - 1,
    Home: 0,
    End: buttons.length - 1
  }[event.key];
  if (target !== undefined && buttons[target]) {
    buttons[target].focus();
    event.preventDefault();
  }
}
