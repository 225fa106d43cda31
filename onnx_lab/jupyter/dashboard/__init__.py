"""The dashboard: a model, its variants and what they are worth, by clicks, with the magic beside every control.

state      what a person chose and what is known of each variant: plain data, JSON
store      the state that holds now, what it was before, its file in the workspace
conductor  one thread that works, and tells how far it is (activity)
work       "run" as jobs, one after the other; what the answers are worth (asking)
forms      controls of a step, from the function's own signature
view       the widgets
"""
