/** Who is there? Over the view when a session has ended, so that nothing typed there is lost. */

import { useState } from "preact/hooks";
import { Problem, sentence } from "../api/problem";
import { session } from "../api/session";
import icon from "../icon.svg";
import { Dialog } from "../ui/dialog";
import { Button, Notice } from "../ui/parts";

export function SignIn({ isAgain = false }: { isAgain?: boolean }) {
  const [name, setName] = useState(session.user.value?.email ?? "");
  const [password, setPassword] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);

  async function submit() {
    setBusy(true);
    try {
      await session.signIn(name, password);
    } catch (problem) {
      setError(problem);
      setPassword("");
    } finally {
      setBusy(false);
    }
  }

  const fields = (
    <>
      {error ? <Notice tone="bad">{said(error)}</Notice> : null}
      <div class="field">
        <label for="signin-name">User name or e-mail</label>
        <input
          class="input"
          id="signin-name"
          name="username"
          autocomplete="username"
          autocapitalize="none"
          spellcheck={false}
          required
          autofocus={!name}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </div>
      <div class="field">
        <label for="signin-password">Password</label>
        <input
          class="input"
          id="signin-password"
          name="password"
          type="password"
          autocomplete="current-password"
          required
          autofocus={Boolean(name)}
          value={password}
          onInput={(event) => setPassword(event.currentTarget.value)}
        />
      </div>
    </>
  );
  const button = (
    <Button kind="main" type="submit" disabled={isBusy}>
      {isBusy ? "Signing in…" : "Sign in"}
    </Button>
  );

  if (isAgain) {
    return (
      <Dialog title="Sign in again" onSubmit={submit} foot={button}>
        <p class="dim">Your session has ended. What you were doing is still here.</p>
        {fields}
      </Dialog>
    );
  }
  return (
    <main class="signin">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <img src={icon} alt="" width="40" height="40" />
        <h1>Sign in to VeloFlux</h1>
        {fields}
        {button}
      </form>
    </main>
  );
}

function said(error: unknown): string {
  if (error instanceof Problem && error.status === 401) {
    return "This name and this password do not belong together.";
  }
  if (error instanceof Problem && error.retryAfterS !== null) {
    const minutes = Math.ceil(error.retryAfterS / 60);
    const wait = error.retryAfterS < 90 ? `${error.retryAfterS} seconds` : `${minutes} minutes`;
    return `Too many tries. Try again in ${wait}.`;
  }
  return sentence(error);
}
