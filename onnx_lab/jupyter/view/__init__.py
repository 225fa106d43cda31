"""The graph in the cell: one widget, hand-written JavaScript, no server, no second port.

door      `lab.view`, and what it gives back
widget    what goes to the page and comes back from it
netron    the file in an installed Netron, for those who ask
graph.js  what Python sent, and where everything is for the groups that are open
paint.js  the picture
side.js   search, legend and panel
view.js   what a hand does
"""
