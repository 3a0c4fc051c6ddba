"""Optuna as the program of `search.optuna`: one of its samplers proposes, harness evaluates.

The protocol is that of `search.external` (docs/search.md). Each list of values is a parameter of Optuna's: what has an order
is a whole number, the place in the list; all else is a category. Optuna itself, and what its sampler needs, has
to be in the Python that runs this; harness puts this module on PYTHONPATH.
"""

import inspect
import json
import traceback
import warnings

from harness.session import take_streams

PROTOCOL = 1
SAMPLERS = {
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
    "tpe": "TPESampler",
}
# That a sampler cannot be had is said in the words of whoever misses it: `No module named 'cmaes'`.
INSTALL = "install it there, or name another Python: search.optuna { python = \"/path/to/venv/bin/python\" }"


class Refused(Exception):
    """What is said to harness as it is."""


class Searcher:
    def __init__(self, hello):
        if hello["protocol"] != PROTOCOL:
            raise Refused("harness speaks protocol %s, and this adaptor %d" % (hello["protocol"], PROTOCOL))
        self.optuna = _optuna()
        self.dimensions = {}
        for dimension in hello["space"]:
            points = dimension.get("points") or [{dimension["name"]: value} for value in dimension["values"]]
            self.dimensions["+".join(sorted(points[0]))] = points
        self.distributions = {
            name: self._distribution(len(points), dimension["ordered"])
            for (name, points), dimension in zip(self.dimensions.items(), hello["space"])
        }
        self.several = len(hello["objectives"]) > 1
        self.sampler, self.judges = self._sampler(hello)
        self.study = self.optuna.create_study(
            directions=["minimize"] * len(hello["objectives"]), sampler=self.sampler, study_name=hello["name"]
        )
        self.trials = {}

    def _distribution(self, count, ordered):
        distributions = self.optuna.distributions
        if ordered:
            return distributions.IntDistribution(0, count - 1)
        return distributions.CategoricalDistribution(tuple(range(count)))

    def _sampler(self, hello):
        """It, and whether it knows of limits."""
        name, settings = hello["options"]["sampler"], dict(hello["options"].get("settings") or {})
        if name == "cmaes" and self.several:
            raise Refused("sampler 'cmaes' looks for one objective, and there are %d: nsga2, nsga3 and tpe take several" % len(hello["objectives"]))
        make = getattr(self.optuna.samplers, SAMPLERS[name], None)
        if make is None:
            raise Refused("Optuna %s has no %s: a newer one has" % (self.optuna.__version__, SAMPLERS[name]))
        known = inspect.signature(make).parameters
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise Refused("'settings': %s has no %r; it has %s" % (SAMPLERS[name], unknown[0], ", ".join(sorted(known))))
        if "seed" in known:
            settings.setdefault("seed", hello["seed"])
        if name == "tpe":
            settings.setdefault("constant_liar", True)  # several trials are under way at a time
        if name == "cmaes":
            settings.setdefault("warn_independent_sampling", False)
        judges = hello["constrained"] and "constraints_func" in known
        if judges:
            settings["constraints_func"] = lambda trial: (trial.user_attrs.get("violation", 0.0),)
        try:
            return make(**settings), judges
        except ImportError as error:
            raise Refused("sampler '%s': %s: %s" % (name, error, INSTALL))

    def ask(self, question):
        trial = self.study.ask(self.distributions)
        self.trials[question["id"]] = trial
        params = {}
        for name, points in self.dimensions.items():
            params.update(points[trial.params[name]])
        return {"params": params}

    def tell(self, question):
        trial = self.trials.pop(question.get("id"), None) or self._begun_elsewhere(question["params"])
        state, values = question["state"], question.get("values")
        if state == "infeasible" and self.judges:
            trial.set_user_attr("violation", question["violation"])
        elif state != "ok":
            values = None
        if values is not None:
            self.study.tell(trial, values)
        else:
            # To a sampler that models one objective what was pruned is worse than all the rest, and what failed is not there.
            states = self.optuna.trial.TrialState
            self.study.tell(trial, state=states.FAIL if self.several else states.PRUNED)
        return {}

    def _begun_elsewhere(self, params):
        """A point of `start`, which nobody asked for here."""
        places = {}
        for name, points in self.dimensions.items():
            own = {key: params[key] for key in points[0]}
            places[name] = next(place for place, point in enumerate(points) if json.dumps(point) == json.dumps(own))
        self.study.enqueue_trial(places)
        return self.study.ask(self.distributions)


def _optuna():
    warnings.simplefilter("ignore")  # half of what it can do is experimental
    try:
        import optuna
    except ImportError as error:
        raise Refused("%s: %s" % (error, INSTALL))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def main():
    questions, answers = take_streams()
    searcher = None
    for line in questions:
        question = json.loads(line)
        try:
            if question["do"] == "hello":
                searcher = Searcher(question)
                answer = {"protocol": PROTOCOL}
            elif question["do"] == "ask":
                answer = searcher.ask(question)
            elif question["do"] == "tell":
                answer = searcher.tell(question)
            else:
                answer = {}
        except Refused as error:
            answer = {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
