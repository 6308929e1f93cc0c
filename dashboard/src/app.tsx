/** The frame around the views: who is signed in, where one may go, and how the server is. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ComponentType } from "preact";
import { session } from "./api/session";
import { Pulse, LostBanner } from "./live/pulse";
import { status } from "./live/channels";
import { useChannel } from "./live/streams";
import { href, place } from "./place";
import { nextTheme, theme } from "./theme";
import { Icon, type IconName } from "./ui/icon";
import { Button, Tag } from "./ui/parts";
import { Toasts } from "./ui/toasts";
import { Shortcuts, useShortcuts } from "./shortcuts";
import { Alerts, useOpenAlerts } from "./views/alerts";
import { Audit } from "./views/audit";
import { Configuration } from "./views/configuration";
import { Explain } from "./views/explain";
import { Logs } from "./views/logs";
import { Overview } from "./views/overview";
import { Pools } from "./views/pools";
import { Routes } from "./views/routes";
import { SignIn } from "./views/signin";
import { Workers } from "./views/workers";
import icon from "./icon.svg";

interface View {
  name: string;
  title: string;
  icon: IconName;
  key: string;
  show: ComponentType;
}

const SECTIONS: readonly { title: string; views: readonly View[] }[] = [
  {
    title: "Traffic",
    views: [
      { name: "overview", title: "Overview", icon: "activity", key: "o", show: Overview },
      { name: "pools", title: "Pools", icon: "server", key: "p", show: Pools },
      { name: "routes", title: "Routes", icon: "route", key: "r", show: Routes },
      { name: "explain", title: "Explain", icon: "explain", key: "e", show: Explain },
    ],
  },
  {
    title: "Control",
    views: [
      {
        name: "configuration",
        title: "Configuration",
        icon: "commit",
        key: "c",
        show: Configuration,
      },
      { name: "audit", title: "Audit", icon: "history", key: "u", show: Audit },
    ],
  },
  {
    title: "Daemon",
    views: [
      { name: "workers", title: "Workers", icon: "cpu", key: "w", show: Workers },
      { name: "alerts", title: "Alerts", icon: "bell", key: "a", show: Alerts },
      { name: "logs", title: "Logs", icon: "log", key: "l", show: Logs },
    ],
  },
];
const VIEWS = SECTIONS.flatMap((section) => section.views);

export function App() {
  useEffect(() => void session.start().catch(() => (session.phase.value = "out")), []);
  switch (session.phase.value) {
    case "starting":
      return null;
    case "out":
      return <SignIn />;
    default:
      return <Shell />;
  }
}

function Shell() {
  const view = VIEWS.find((each) => each.name === place.value.view) ?? VIEWS[0]!;
  const [isOpen, setOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const isHelping = useShortcuts(VIEWS);

  // Before anything is seen: a key pressed then is for the new view.
  useLayoutEffect(() => {
    document.title = `${view.title} · VeloFlux`;
    setOpen(false);
    // Who goes somewhere by keyboard goes on from there; who comes first begins at the top.
    if (isFirst.current) isFirst.current = false;
    else main.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [view]);

  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to content
      </a>
      <div class="shell">
        <header class="top">
          <Brand />
          <Pulse />
          <Button
            kind="plain"
            icon="menu"
            label="Menu"
            expanded={isOpen}
            onClick={() => setOpen(!isOpen)}
          />
        </header>
        {isOpen && (
          <button class="veil" aria-label="Close the menu" onClick={() => setOpen(false)} />
        )}
        <Side current={view.name} isOpen={isOpen} />
        <div>
          <LostBanner />
          <main id="main" ref={main} tabIndex={-1}>
            <view.show key={view.name} />
          </main>
        </div>
      </div>
      {session.phase.value === "ended" && <SignIn isAgain />}
      <Toasts />
      {isHelping.value && <Shortcuts views={VIEWS} onClose={() => (isHelping.value = false)} />}
    </>
  );
}

function Brand() {
  return (
    <a class="brand" href={href("overview")}>
      <img src={icon} alt="" width="24" height="24" />
      VeloFlux
    </a>
  );
}

function Side({ current, isOpen }: { current: string; isOpen: boolean }) {
  const alerts = useOpenAlerts();
  return (
    <div class={isOpen ? "side is-open" : "side"}>
      <Brand />
      <nav aria-label="Views">
        {SECTIONS.map((section) => (
          <div key={section.title}>
            <p class="section">{section.title}</p>
            <ul>
              {section.views.map((view) => (
                <li key={view.name}>
                  <a
                    href={href(view.name)}
                    aria-current={view.name === current ? "page" : undefined}
                  >
                    <Icon name={view.icon} />
                    {view.title}
                    {view.name === "alerts" && alerts > 0 && (
                      <span class="tally">
                        <Tag tone="bad">{alerts}</Tag>
                      </span>
                    )}
                  </a>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </nav>
      <div class="foot">
        <Pulse />
        <Version />
        <Who />
      </div>
    </div>
  );
}

function Version() {
  const now = useChannel(status);
  return now ? (
    <p class="side-version faint number">
      {now.version} · revision {now.config_revision}
    </p>
  ) : null;
}

function Who() {
  const user = session.user.value;
  return (
    <div class="who">
      <span class="name" title={user?.role}>
        {user?.email || "Anybody"}
      </span>
      <Button
        kind="plain"
        small
        icon={theme.value}
        label={`Colours: ${theme.value}`}
        onClick={nextTheme}
      />
      {user && (
        <Button
          kind="plain"
          small
          icon="leave"
          label="Sign out"
          onClick={() => void session.signOut()}
        />
      )}
    </div>
  );
}
