from . import figures as figures
from . import plotting as plotting
from . import symbolic as symbolic
from .comparison.comparisons import compare as compare
from .comparison.exponents import best_exponent as best_exponent
from .comparison.frontiers import frontier as frontier
from .empirical.prediction.entry import predict as predict
from .empirical.validation.entry import validate as validate
from .errors import InfalignError as InfalignError
from .explorer.entry import explore as explore
from .optima.solve import optimum as optimum
from .policies.alignment import align as align
from .policies.base import Continuous as Continuous
from .policies.base import Discrete as Discrete
from .policies.win_rates import win_rate as win_rate
from .procedures.distortion import Distortion as Distortion
from .procedures.powers import BestOfN as BestOfN
from .procedures.powers import Standard as Standard
from .procedures.powers import WorstOfN as WorstOfN
from .transforms.elementary import Identity as Identity
from .transforms.elementary import Log as Log
from .transforms.elementary import Logit as Logit
from .transforms.exponential import Exponential as Exponential
from .transforms.expression import Expression as Expression
from .transforms.power import Power as Power

__version__: str
