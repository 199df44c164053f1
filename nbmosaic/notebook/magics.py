"""The magics ``%%mosaic``, ``%mosaic`` and ``%nbmosaic``: a cell is parsed, bound, run, and its result handed to the user."""

from __future__ import annotations

import linecache
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import Bool, Enum, Int

from nbmosaic.errors import NbmosaicError, NbmosaicWarning
from nbmosaic.notebook.binding import Backend, BoundStep, bind_cell, bind_options
from nbmosaic.notebook.celloptions import CELL_SPEC
from nbmosaic.notebook.cellspec import CellSpec, parse_cell, parse_line
from nbmosaic.notebook.cellwords import Place
from nbmosaic.notebook.short_errors import shorten
from nbmosaic.pipeline.values import with_article

__all__ = ["MosaicMagics"]

LINE_MAGIC = "%mosaic "


@magics_class
class MosaicMagics(Magics):
    """Magics of nbmosaic; ``%config MosaicMagics`` shows and sets the traits."""

    jobs = Int(0, help="Threads of a run; 0: as many as the work is worth, negative: all processors but that many.").tag(config=True)
    progress = Enum(["auto", "text", "off"], default_value="auto", help="How progress is shown: auto, text or off.").tag(config=True)
    displaylimit = Int(10, min=1, help="Rows of a table that are shown.").tag(config=True)
    short_errors = Bool(default_value=True, help="Show mistakes in at most four lines (%tb shows all); False: always in full.").tag(
        config=True
    )
    figure_width = Int(8, min=1, help="Width in inches of the pictures of `show`.").tag(config=True)

    def __init__(self, shell: Any, *, backend: Backend | None = None, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self._backend = backend

    @property
    def backend(self) -> Backend:
        """The pipeline; loaded when it is first needed."""
        if self._backend is None:
            from nbmosaic.notebook.backend import PipelineBackend

            self._backend = PipelineBackend()
        return self._backend

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def mosaic(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Make mosaics: a stage a line in a cell, or one stage in a line.

        ::

            %%mosaic NAME [--jobs N] [--plan] [--code] [--show summary|stages|none]
                          [--progress auto|text|off] [--on-error stop|skip]
            images   raw/*.fits            # one stage a line, comments begin with #
            header   --scale 1.0
            project  --method spline
            overlaps as pairs              # `pairs` is bound, too
            background
            correct
            coadd

        NAME receives the run: ``NAME.mosaic``, ``NAME["overlaps"]``, ``NAME.table("images")``. Products flow from line to line.
        ``{expression}`` is Python: a word by itself is the object. A ``;`` at the end of the cell hushes the display.
        ``--plan`` only checks the cell and says what it would do, ``--code`` gives it as Python.

        ::

            %mosaic                        # the stages
            %mosaic help project           # options of a stage (in a cell: a line project?)
            p = %mosaic project {frames} {grid} --method bilinear
        """
        names = {**self.shell.user_ns, **(local_ns or {})}
        try:
            return self._line(line, names) if cell is None else self._cell(line, cell, names)
        except NbmosaicError as error:
            if self.short_errors:
                shorten(error)
            raise

    @no_var_expand
    @line_magic
    def nbmosaic(self, line: str = "") -> Any:
        """Versions of nbmosaic and its packages, limits of the machine, configuration of the magics."""
        from nbmosaic.notebook.environment import info_table

        if line.strip():
            warnings.warn(f"%nbmosaic takes no words: {line.strip()!r} is not used", NbmosaicWarning, stacklevel=2)
        names = ("jobs", "progress", "displaylimit", "short_errors", "figure_width")
        return info_table(tuple((name, str(getattr(self, name))) for name in names))

    def _cell(self, line: str, cell: str, names: Mapping[str, Any]) -> Any:
        """Run a cell."""
        spec = parse_cell(line, cell)
        options = bind_options(spec.options, CELL_SPEC, spec.place, names)
        if spec.help:
            return self._show_all([self._help(stage, place) for stage, place in spec.help])
        if not spec.stages:
            raise spec.place.error("the cell has no stage", hint="write one stage a line; %mosaic lists them")
        steps = bind_cell(spec.stages, self.backend.registry, names, defaults=self._defaults(options.get("on_error", "stop")))
        if options.get("plan") and options.get("code"):
            raise spec.place.error("--plan and --code exclude each other", hint="keep one of them")
        if options.get("plan"):
            return self._plan(steps, spec)
        if options.get("code"):
            return self._code(steps)
        run = self._run(steps, spec.name, options.get("jobs"), options.get("progress"))
        show = options.get("show", "summary")
        if spec.quiet or show == "none":
            return None
        return self._show_all([*run.values(), run]) if show == "stages" else run

    def _line(self, line: str, names: Mapping[str, Any]) -> Any:
        """Run one stage, or show help."""
        from nbmosaic.notebook.help import StageTable

        number, displayed = _calling_line(self.shell)
        shown = LINE_MAGIC + line
        words = line.split()
        if not words or words == ["help"]:
            return StageTable(self.backend.registry)
        if words[0] == "help":
            place = Place(number, shown, len(LINE_MAGIC) + line.index(words[1], line.index("help") + 4))
            if len(words) > 2:
                raise place.error("%mosaic help takes one stage", hint="%mosaic lists the stages")
            return self._help(words[1], place)
        stage, quiet = parse_line(line, line=number, shift=len(LINE_MAGIC), shown=shown)
        steps = bind_cell([stage], self.backend.registry, names, defaults=self._defaults("stop"), magic=True)
        run = self._run(steps, None, None, None)
        for message in getattr(run, "warnings", ()):
            warnings.warn(str(message), NbmosaicWarning, stacklevel=2)
        # with a semicolon nothing is displayed, but `x = %mosaic ...;` still gets its value
        return None if quiet and displayed else run[stage.stage]

    def _defaults(self, on_error: str) -> dict[str, Any]:
        """Options that the first line and the configuration give to every stage that has them."""
        defaults: dict[str, Any] = {}
        if on_error != "stop":
            defaults["on_error"] = on_error
        if self.figure_width != type(self).figure_width.default_value:
            defaults["width"] = self.figure_width
        return defaults

    def _run(self, steps: Sequence[BoundStep], name: str | None, jobs: int | None, progress: str | None) -> Any:
        """Run steps and bind the names."""
        from nbmosaic.notebook.cellrun import run_steps
        from nbmosaic.notebook.progress import make_progress

        def publish(run: Any) -> None:
            for key, product in getattr(run, "named", {}).items():
                self._bind(key, product)
            if name is not None:
                self._bind(name, run)

        return run_steps(
            steps,
            self.backend,
            name=name,
            jobs=self.jobs if jobs is None else jobs,
            progress=make_progress(progress or self.progress, self.shell),
            publish=publish,
        )

    def _bind(self, name: str, value: Any) -> None:
        """Bind a name of the user; say so if it held something else."""
        missing = object()
        old = self.shell.user_ns.get(name, missing)
        if old is not missing and old is not None and not isinstance(old, type(value)) and not isinstance(value, type(old)):
            message = f"the name {name} held {with_article(type(old).__name__)}; it is {with_article(type(value).__name__)} now"
            warnings.warn(message, NbmosaicWarning, stacklevel=2)
        self.shell.push({name: value})

    def _help(self, stage: str, place: Place) -> Any:
        """Help of a stage, or of the cell."""
        from nbmosaic.notebook.help import HelpPage

        if stage.lstrip("%") == "mosaic" and stage.lstrip("%") not in self.backend.registry:
            return HelpPage(CELL_SPEC, cell=True)
        return HelpPage(self.backend.registry.find(stage, place))

    def _plan(self, steps: tuple[BoundStep, ...], spec: CellSpec) -> Any:
        """Say what a cell would do."""
        from nbmosaic.notebook.cellrun import point
        from nbmosaic.notebook.help import PlanPage
        from nbmosaic.pipeline.recipe import Recipe

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", NbmosaicWarning)
            try:
                notes = tuple(self.backend.estimate(Recipe(steps=steps, name=spec.name)))
            except NbmosaicError as error:
                point(error, steps)
                raise
        return PlanPage(steps, notes + tuple(f"warning: {item.message}" for item in caught))

    def _code(self, steps: tuple[BoundStep, ...]) -> Any:
        """Give a cell as Python code, and offer it as the next cell."""
        from nbmosaic.notebook.help import CodePage
        from nbmosaic.pipeline.code import python_code
        from nbmosaic.pipeline.recipe import Recipe

        page = CodePage(python_code(Recipe(steps=steps), spec_of=lambda step: self.backend.registry[step.stage]))
        self.shell.set_next_input(page.code, replace=False)
        return page

    @staticmethod
    def _show_all(pages: Sequence[Any]) -> Any:
        """Display all but the last, which is the result."""
        from IPython.display import display

        for page in pages[:-1]:
            display(page)
        return pages[-1]


def _calling_line(shell: Any) -> tuple[int, bool]:
    """Number of the line that calls a line magic in its cell, and whether its value would be displayed rather than assigned."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to look at the caller
    while frame is not None and frame.f_globals is not shell.user_ns and frame.f_globals is not shell.user_global_ns:
        frame = frame.f_back
    if frame is None:
        return 1, True
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
    return frame.f_lineno, source.startswith("get_ipython().run_line_magic(")
