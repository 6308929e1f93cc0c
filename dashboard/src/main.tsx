import "./style/fonts.css";
import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/base.css";
import "./style/parts.css";
import "./style/shell.css";
import "./style/chart.css";
import "./style/views.css";

import { render } from "preact";
import { App } from "./app";

render(<App />, document.getElementById("app")!);
