"""Making every training sample unique (section 4 of the paper, and much beyond it).

What happens to a sample is drawn first, from a generator of its own (`plan`); the pixels follow,
for a whole batch at once and on the device that trains (`render`). One affine map takes photo, mask
and the distance to the mask's edge into the view (`warp`), one affine map of colours does all that
changes colours evenly (`render`). So a view is a pure function of seed, iteration and place in the
batch.
"""
