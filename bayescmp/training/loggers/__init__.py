"""Where the numbers of a running training go."""

from bayescmp.training.loggers.json_lines import JsonLinesLogger as JsonLinesLogger
from bayescmp.training.loggers.json_lines import LogEntry as LogEntry
from bayescmp.training.loggers.json_lines import read_log as read_log
from bayescmp.training.loggers.logger import AbstractLogger as AbstractLogger
from bayescmp.training.loggers.trackers import MLflowLogger as MLflowLogger
from bayescmp.training.loggers.trackers import TensorBoardLogger as TensorBoardLogger
from bayescmp.training.loggers.trackers import WandbLogger as WandbLogger
