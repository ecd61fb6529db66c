/** Drawings of one line weight, in the colour of the text beside them. */

const shapes = {
  wheel:
    'M12 5.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M12 2.5v3M12 18.5v3M2.5 12h3M18.5 12h3M5.3 5.3l2.1 2.1M16.6 16.6l2.1 2.1M5.3 18.7l2.1-2.1M16.6 7.4l2.1-2.1M12 10.8a1.2 1.2 0 1 0 0 2.4a1.2 1.2 0 1 0 0-2.4',
  overview: 'M4 4h7v7H4zM13 4h7v4h-7zM13 10h7v10h-7zM4 13h7v7H4z',
  tables: 'M4 5h16v14H4zM4 10h16M4 14.5h16M10 10v9',
  data: 'M12 4c4.4 0 7 1.3 7 3s-2.6 3-7 3s-7-1.3-7-3s2.6-3 7-3M5 7v10c0 1.7 2.6 3 7 3s7-1.3 7-3V7M5 12c0 1.7 2.6 3 7 3s7-1.3 7-3',
  txn: 'M5 8h11M13 4.5L16.5 8L13 11.5M19 16H8M11 12.5L7.5 16l3.5 3.5',
  replication:
    'M6 4.5a2 2 0 1 0 0 4a2 2 0 1 0 0-4M18 15.5a2 2 0 1 0 0 4a2 2 0 1 0 0-4M18 4.5a2 2 0 1 0 0 4a2 2 0 1 0 0-4M8 6.5h8M7.5 8l9 8',
  archive: 'M4 5h16v4H4zM5.5 9v10h13V9M10 12.5h4',
  events: 'M5 6h2M10 6h9M5 12h2M10 12h9M5 18h2M10 18h9',
  node: 'M5 4h14v7H5zM5 13h14v7H5zM8 7.5h.1M8 16.5h.1',
} as const;

export function Icon({ name }: { readonly name: keyof typeof shapes }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={shapes[name]} />
    </svg>
  );
}
