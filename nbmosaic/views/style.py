"""Style sheet of all fragments: scoped to ``.nbm``, small, and neutral to the theme of the page."""

from __future__ import annotations

__all__ = ["FRAGMENT_CSS"]

# Text takes the colour of the page (JupyterLab's variable where it exists, else what the page gives), lines and stripes are
# half-transparent greys. That reads well on light and on dark pages without asking which one it is: asking the system
# (prefers-color-scheme) would be wrong on a light page of a dark desktop. Only the text fallback is hidden, so a front end that
# strips <style> shows the plain text.
FRAGMENT_CSS = """\
.nbm{color:var(--jp-content-font-color1,inherit);font-family:var(--jp-content-font-family,system-ui,sans-serif);
font-size:var(--jp-content-font-size1,14px);line-height:1.4;max-width:100%}
.nbm .nbm-fallback{display:none}
.nbm .nbm-body{display:block!important}
.nbm .nbm-title{font-weight:600;margin:.3em 0}
.nbm .nbm-sub{opacity:.75;font-weight:400}
.nbm .nbm-scroll{overflow-x:auto;max-width:100%}
.nbm table.nbm-table{border-collapse:collapse;border:0;margin:.2em 0 .6em;font-size:.93em;color:inherit;table-layout:auto}
.nbm table.nbm-table caption{caption-side:top;text-align:left;font-weight:600;padding:.2em 0;color:inherit}
.nbm table.nbm-table :is(th,td){text-align:left;padding:.22em .7em;border:0;background:none;
vertical-align:top;white-space:nowrap;color:inherit}
.nbm table.nbm-table :is(th,td).nbm-num{text-align:right;font-variant-numeric:tabular-nums}
.nbm table.nbm-table :is(th,td)>code{white-space:nowrap}
.nbm table.nbm-table td.nbm-wrap{white-space:normal;min-width:12em}
.nbm table.nbm-table thead th{border-bottom:1px solid var(--jp-border-color1,rgba(128,128,128,.6));font-weight:600;vertical-align:bottom}
.nbm table.nbm-table tbody th{font-weight:400}
.nbm table.nbm-table tbody tr{background:none;border:0}
.nbm table.nbm-table tbody tr:nth-child(even){background:rgba(128,128,128,.1)}
.nbm table.nbm-table tfoot td{opacity:.75;border-top:1px solid rgba(128,128,128,.4)}
.nbm tr.nbm-failed{outline:2px solid #d55e00;outline-offset:-2px}
.nbm tr.nbm-failed td{font-weight:600}
.nbm tr.nbm-idle :is(th,td){opacity:.65}
.nbm .nbm-mark{display:inline-block;width:1.2em;text-align:center;font-weight:700}
.nbm dl.nbm-facts{display:grid;grid-template-columns:max-content auto;gap:.1em 1em;margin:.3em 0}
.nbm dl.nbm-facts dt{opacity:.75;font-weight:400;float:none;margin:0;width:auto;white-space:nowrap}
.nbm dl.nbm-facts dd{margin:0;float:none;width:auto;overflow-wrap:anywhere}
.nbm img.nbm-picture{display:block;max-width:100%;height:auto;background:#fff;border-radius:3px;margin:.4em 0}
.nbm details.nbm-more{margin:.3em 0}
.nbm details.nbm-more summary{cursor:pointer}
.nbm details.nbm-more ul{margin:.3em 0 .3em 1.2em;padding:0}
.nbm .nbm-error{border-left:4px solid #d55e00;padding:.2em .7em;margin:.3em 0;white-space:pre-wrap;overflow-wrap:anywhere}
"""
