from veloflux.edge.pure import Direct as Direct
from veloflux.edge.pure import dispatch as dispatch
