/** Lucide's icons, drawn at 16 pixels. */

import {
  Activity,
  Bell,
  ChevronRight,
  CircleAlert,
  CircleCheck,
  CircleHelp,
  Cpu,
  Ellipsis,
  FileClock,
  GitCommitHorizontal,
  Info,
  Keyboard,
  LogOut,
  Menu,
  Minus,
  Monitor,
  Moon,
  Pause,
  Pencil,
  Play,
  Plus,
  RotateCcw,
  Route,
  ScrollText,
  Search,
  Server,
  Sun,
  Trash2,
  TriangleAlert,
  Undo2,
  X,
  type IconNode,
} from "lucide";
import { h } from "preact";

const ICONS = {
  activity: Activity,
  alert: CircleAlert,
  bell: Bell,
  check: CircleCheck,
  chevron: ChevronRight,
  close: X,
  commit: GitCommitHorizontal,
  cpu: Cpu,
  dark: Moon,
  edit: Pencil,
  explain: CircleHelp,
  history: FileClock,
  keyboard: Keyboard,
  leave: LogOut,
  light: Sun,
  log: ScrollText,
  menu: Menu,
  minus: Minus,
  more: Ellipsis,
  note: Info,
  pause: Pause,
  play: Play,
  plus: Plus,
  redo: RotateCcw,
  remove: Trash2,
  route: Route,
  search: Search,
  server: Server,
  system: Monitor,
  undo: Undo2,
  warning: TriangleAlert,
} satisfies Record<string, IconNode>;

export type IconName = keyof typeof ICONS;

/** For the eye only: what it stands for is said beside it. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      class="icon"
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.75"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {ICONS[name].map(([tag, attributes], i) => h(tag, { key: i, ...attributes }))}
    </svg>
  );
}
