"""A model's graph as a picture that opens module by module.

flat       nodes and tensors of one file as plain data
union      two files in one: what a transform did, each node with what became of it
tree       nodes in groups: the user's own modules, names, or blocks that repeat
blocks     groups for what has none: repeats and stretches of a long chain
wires      which boxes of a group are joined, and what enters and leaves it
layers     who stands above whom
places     where each box and each line goes
shades     one number for each node: time, size, error
sheet      all of it as the data that the view in the cell draws
still      a picture and a table that need no kernel
"""
