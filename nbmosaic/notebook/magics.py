"""The magics ``%%mosaic``, ``%mosaic``, ``%psf`` and ``%nbmosaic``: a cell is parsed, bound, run, and its result handed to the user."""

from __future__ import annotations

import linecache
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import Bool, Enum, Int, Unicode

from nbmosaic.errors import NbmosaicError, NbmosaicWarning
from nbmosaic.notebook.binding import Backend, BoundStep, bind_cell, bind_options
from nbmosaic.notebook.celloptions import CELL_SPEC, LINE_OPTIONS
from nbmosaic.notebook.cellspec import OptionWord, StageLine, parse_cell, parse_line
from nbmosaic.notebook.cellwords import Place
from nbmosaic.notebook.how import CacheChoice, How
from nbmosaic.notebook.short_errors import shorten
from nbmosaic.pipeline.signatures import StageSpec
from nbmosaic.pipeline.values import with_article

if TYPE_CHECKING:
    from nbmosaic.notebook.beginning import Beginning  # it imports numpy, which %load_ext need not do

__all__ = ["MosaicMagics"]

LINE_MAGIC = "%mosaic "


@magics_class
class MosaicMagics(Magics):
    """Magics of nbmosaic; ``%config MosaicMagics`` shows and sets the traits."""

    jobs = Int(0, help="Threads of a run; 0: as many as the work is worth, negative: all processors but that many.").tag(config=True)
    progress = Enum(["auto", "text", "off"], default_value="auto", help="How progress is shown: auto, text or off.").tag(config=True)
    start_method = Enum(
        ["threads", "fork", "forkserver", "spawn"],
        default_value="threads",
        help="Workers of a run: threads of this process, or processes that are started by fork, forkserver or spawn.",
    ).tag(config=True)
    memory = Unicode("", help="Pixel data that a stage holds at once, such as 500MB; empty: 192 MB.").tag(config=True)
    scratch = Unicode("", help="Folder for scratch files; empty: the temporary folder of the system.").tag(config=True)
    cache = Bool(default_value=True, help="Keep what stages make, and run only what has changed.").tag(config=True)
    cache_mb = Int(0, min=0, help="Memory of kept products in MB; 0: a quarter of the memory that may be used.").tag(config=True)
    cache_disk_mb = Int(0, min=0, help="Projected frames kept on disk though nothing uses them, in MB; 0: 4000.").tag(config=True)
    cache_dir = Unicode("", help="Folder of the projected frames that are kept; empty: one in the temporary folder.").tag(config=True)
    displaylimit = Int(10, min=1, help="Rows of a table that are shown.").tag(config=True)
    short_errors = Bool(default_value=True, help="Show mistakes in at most four lines (%tb shows all); False: always in full.").tag(
        config=True
    )
    figure_width = Int(8, min=1, help="Width in inches of the pictures of `show`.").tag(config=True)

    def __init__(self, shell: Any, *, backend: Backend | None = None, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self._backend = backend
        self.matcher: Callable[[Any], Any] | None = None
        self._panels: dict[str, Any] = {}

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

            %%mosaic NAME [--jobs N] [--plan] [--code] [--detach] [--fresh [STAGE,...]] [--from STAGE|RUN] [--no-cache]
                          [--show summary|stages|none] [--progress auto|text|off] [--on-error stop|skip]
            images   raw/*.fits            # one stage a line, comments begin with #
            header   --scale 1.0
            project  --method spline
            overlaps as pairs              # `pairs` is bound, too
            background
            correct
            coadd

        NAME receives the run: ``NAME.mosaic``, ``NAME["overlaps"]``, ``NAME.table("images")``. Products flow from line to line.
        ``{expression}`` is Python: a word by itself is the object. A ``;`` at the end of the cell hushes the display.
        A cell that runs again takes from the cache what has not changed; ``--fresh`` runs all of it.
        ``--plan`` only checks the cell and says what it would do, ``--code`` gives it as Python, ``--detach`` goes on behind.

        ::

            %mosaic                        # the stages
            %mosaic help project           # options of a stage (in a cell: a line project?)
            %mosaic cache [--clear]        # what is kept
            %mosaic panel NAME [KIND]      # a panel of a run or product
            p = %mosaic project {frames} {grid} --method bilinear
        """
        names = {**self.shell.user_ns, **(local_ns or {})}
        return self._short(lambda: self._line(line, names) if cell is None else self._cell(line, cell, names))

    @no_var_expand
    @needs_local_scope
    @line_magic
    def psf(self, line: str = "", local_ns: Mapping[str, Any] | None = None) -> Any:
        """Fit the photometry of images against a reference.

        ::

            %psf                                             # the fits
            %psf help image                                  # options of a fit
            fit = %psf image REFERENCE IMAGE [options]
            %psf star REFERENCE IMAGE [options] as fit
            %psf batch REFERENCE IMAGES ... [options] --detach as nights
        """
        names = {**self.shell.user_ns, **(local_ns or {})}
        return self._short(lambda: self._psf(line, names))

    @no_var_expand
    @line_magic
    def nbmosaic(self, line: str = "") -> Any:
        """Versions of nbmosaic and its packages, limits of the machine, configuration of the magics."""
        from nbmosaic.notebook.environment import info_table

        if line.strip():
            warnings.warn(f"%nbmosaic takes no words: {line.strip()!r} is not used", NbmosaicWarning, stacklevel=2)
        names = list(self.class_own_traits(config=True))
        return info_table(tuple((name, str(getattr(self, name)) or "(default)") for name in names))

    def _short(self, work: Callable[[], Any]) -> Any:
        """Let mistakes be shown in short."""
        try:
            return work()
        except NbmosaicError as error:
            if self.short_errors:
                shorten(error)
            raise

    def _cell(self, line: str, cell: str, names: Mapping[str, Any]) -> Any:
        """Run a cell."""
        from nbmosaic.notebook.beginning import beginning

        spec = parse_cell(line, cell)
        options = bind_options(spec.options, CELL_SPEC, spec.place, names)
        if spec.help:
            return self._show_all([self._help(stage, place) for stage, place in spec.help])
        if not spec.stages:
            raise spec.place.error("the cell has no stage", hint="write one stage a line; %mosaic lists them")
        begin = beginning(options, spec, names, self.backend.registry)
        defaults = self._defaults(options.get("on_error", "stop"))
        steps = bind_cell(spec.stages, self.backend.registry, names, defaults=defaults, made=begin.made)
        return self._carry_out(steps, spec.name, options, begin, quiet=spec.quiet, place=spec.place)

    def _carry_out(
        self,
        steps: tuple[BoundStep, ...],
        name: str | None,
        options: Mapping[str, Any],
        begin: Beginning,
        *,
        quiet: bool,
        place: Place,
        line: str | None = None,
    ) -> Any:
        """Run, plan or translate steps; `line` is the stage of a line magic, whose product is then the value."""
        from nbmosaic.notebook.cellrun import run_steps

        chosen = [f"--{kind}" for kind in ("plan", "code", "detach") if options.get(kind)]
        if len(chosen) > 1:
            raise place.error(f"{' and '.join(chosen)} exclude each other", hint="keep one of them")
        if options.get("code"):
            return self._code(steps)
        how = self._how(options, begin)
        if options.get("plan"):
            return self._plan(steps, name, how)
        if options.get("detach"):
            return self._detach(steps, name, how, line)
        run = run_steps(steps, self.backend, name=name, how=how, publish=lambda run: self._publish(run, name))
        if line is not None:
            return run
        show = options.get("show", "summary")
        if quiet or show == "none":
            return None
        return self._show_all([*run.values(), run]) if show == "stages" else run

    def _line(self, line: str, names: Mapping[str, Any]) -> Any:
        """Run one stage, or show help, the cache, a panel."""
        from nbmosaic.notebook.help import StageTable
        from nbmosaic.notebook.line_words import cache_page, open_panel

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
        if stage.stage in {"cache", "panel"} and stage.stage not in self.backend.registry:
            if stage.stage == "panel":
                return open_panel(stage, names, stage.place, self._panels)
            return cache_page(self.backend.cache(self._cache_choice()), stage)
        return self._one(stage, names, quiet=quiet and displayed)

    def _psf(self, line: str, names: Mapping[str, Any]) -> Any:
        """Run a fit by its short name, or list the fits."""
        from nbmosaic.notebook.help import HelpPage
        from nbmosaic.notebook.line_words import PsfTable, full_psf_name

        number, displayed = _calling_line(self.shell)
        shown = "%psf " + line
        words = line.split()
        registry = self.backend.registry
        if not words or words == ["help"]:
            return PsfTable(registry)
        if words[0] == "help":
            place = Place(number, shown, 5 + line.index(words[1], line.index("help") + 4))
            return HelpPage(registry[full_psf_name(words[1], registry, place)])
        stage, quiet = parse_line(line, line=number, shift=5, shown=shown)
        name = full_psf_name(stage.stage, registry, stage.place)
        return self._one(replace(stage, stage=name), names, quiet=quiet and displayed)

    def _one(self, stage: StageLine, names: Mapping[str, Any], *, quiet: bool) -> Any:
        """Run one stage; with a semicolon nothing is displayed, but ``x = %mosaic ...;`` still gets its value."""
        from nbmosaic.notebook.beginning import Beginning

        spec = self.backend.registry.find(stage.stage, stage.place)
        own = [token for token in stage.tokens if isinstance(token, OptionWord) and _of_the_cell(token, spec)]
        options = bind_options(own, CELL_SPEC, stage.place, names)
        rest = replace(stage, tokens=tuple(token for token in stage.tokens if token not in own))
        begin = Beginning(fresh=frozenset([0]) if options.get("fresh") else frozenset())
        steps = bind_cell([rest], self.backend.registry, names, defaults=self._defaults("stop"), magic=True)
        run = self._carry_out(steps, None, options, begin, quiet=False, place=stage.place, line=stage.stage)
        if any(options.get(kind) for kind in ("plan", "code", "detach")):
            return run
        for message in getattr(run, "warnings", ()):
            warnings.warn(str(message), NbmosaicWarning, stacklevel=2)
        return None if quiet else run[stage.stage]

    def _defaults(self, on_error: str) -> dict[str, Any]:
        """Options that the first line and the configuration give to every stage that has them."""
        defaults: dict[str, Any] = {}
        if on_error != "stop":
            defaults["on_error"] = on_error
        if self.figure_width != type(self).figure_width.default_value:
            defaults["width"] = self.figure_width
        return defaults

    def _cache_choice(self) -> CacheChoice:
        return CacheChoice(folder=self.cache_dir, memory_mb=self.cache_mb, disk_mb=self.cache_disk_mb)

    def _how(self, options: Mapping[str, Any], begin: Beginning) -> How:
        """How to run, from the first line and the configuration."""
        from nbmosaic.notebook.progress import make_progress

        jobs = options.get("jobs")
        return How(
            progress=make_progress(options.get("progress") or self.progress, self.shell),
            jobs=self.jobs if jobs is None else jobs,
            start_method=self.start_method,
            max_memory=self.memory,
            scratch=self.scratch,
            cache=self._cache_choice() if options.get("cache", self.cache) else None,
            fresh=begin.fresh,
            base=begin.base,
        )

    def _publish(self, run: Any, name: str | None) -> None:
        """Bind the names of a run."""
        for key, product in getattr(run, "named", {}).items():
            self._bind(key, product)
        if name is not None:
            self._bind(name, run)

    def _bind(self, name: str, value: Any) -> None:
        """Bind a name of the user; say so if it held something else."""
        from nbmosaic.notebook.detached import DetachedRun

        missing = object()
        old = self.shell.user_ns.get(name, missing)
        ours = isinstance(old, DetachedRun) or isinstance(value, DetachedRun)
        if old is not missing and old is not None and not ours and not isinstance(old, type(value)) and not isinstance(value, type(old)):
            message = f"the name {name} held {with_article(type(old).__name__)}; it is {with_article(type(value).__name__)} now"
            warnings.warn(message, NbmosaicWarning, stacklevel=2)
        self.shell.push({name: value})

    def _help(self, stage: str, place: Place) -> Any:
        """Help of a stage, or of the cell."""
        from nbmosaic.notebook.help import HelpPage

        if stage.lstrip("%") == "mosaic" and stage.lstrip("%") not in self.backend.registry:
            return HelpPage(CELL_SPEC, cell=True)
        return HelpPage(self.backend.registry.find(stage, place))

    def _plan(self, steps: tuple[BoundStep, ...], name: str | None, how: How) -> Any:
        """Say what a cell would do."""
        from nbmosaic.notebook.cellrun import point
        from nbmosaic.notebook.plan_page import PlanPage
        from nbmosaic.pipeline.recipe import Recipe

        try:
            return PlanPage(steps, self.backend.plan(Recipe(steps=steps, name=name), how=how))
        except NbmosaicError as error:
            error.context.pop("run", None)
            point(error, steps)
            raise

    def _detach(self, steps: tuple[BoundStep, ...], name: str | None, how: How, line: str | None) -> Any:
        """Run steps in a thread; returns the handle, which NAME is bound to."""
        from nbmosaic.notebook.cellrun import run_steps
        from nbmosaic.notebook.detached import DetachedRun, StoppableProgress

        progress = StoppableProgress(how.progress)
        progress.show()
        bound = steps[0].name if line is not None else name

        def publish(run: Any) -> None:
            for key, product in getattr(run, "named", {}).items():
                if key != bound:
                    self.shell.push({key: product})

        def work(with_pool: Callable[[Any], None]) -> Any:
            run = run_steps(steps, self.backend, name=name, how=replace(how, progress=progress, with_pool=with_pool), publish=publish)
            return run if line is None else run[line]

        handle = DetachedRun(work, progress=progress, name=bound or "the run", shorten=shorten if self.short_errors else lambda _: None)
        if bound is not None:
            self._bind(bound, handle)
        return handle

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


def _of_the_cell(token: OptionWord, spec: StageSpec) -> bool:
    """Whether an option of a line magic is one of the cell and none of its stage."""
    name = token.name.removeprefix("no_")
    return name in LINE_OPTIONS and spec.find(token.name) is None


def _calling_line(shell: Any) -> tuple[int, bool]:
    """Number of the line that calls a line magic in its cell, and whether its value would be displayed rather than assigned."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to look at the caller
    while frame is not None and frame.f_globals is not shell.user_ns and frame.f_globals is not shell.user_global_ns:
        frame = frame.f_back
    if frame is None:
        return 1, True
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
    return frame.f_lineno, source.startswith("get_ipython().run_line_magic(")
